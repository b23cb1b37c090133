"""Which idea of the fused engine brings how much: the same trials with one idea at a time taken away, and with none of them.

    python benchmarks/engine_ablation.py --json

`all on` trains the trials together in rows without padding, on a base turned from NF4 into bfloat16 once, with the low-rank products as
the engine has them (`SelectedProduct`: by slices on a CPU, side by side on a GPU). Against it:

    padded          each example filled up to the longest of its trial's step, with nothing to be learnt; real tokens alone are counted
    four_bit        the base stays in NF4 and is dequantised in each forward and each backward pass
    one_by_one      low-rank products as they are defined, in the adapters' precision and differentiated by autograd
    padded_rank     low-rank products as batched ones, the smaller ranks filled with zeros
    one_at_a_time   each trial's step by itself
    none            one trial at a time, padded, four-bit, one by one: `baseline`

All variants take steps of the same examples from the same initial weights, in turn and in alternating order; the first is not counted.
A variant's loss must stay near that of `all on`, for each computes the same but for rounding: `largest_loss_gap` is the most that they
differ by (nats a token, any step). Evaluation is measured apart: all trials in one go, against one after the other.

`ratio` is seconds a real token of `none` over those of `all on`. The default, four trials of 256 tokens and three timed steps, is the
smallest that says anything: a row of 1,024 tokens keeps the products as wide as those of a longer one, and the median needs three.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

RANKS, DROPOUT = (8, 16, 32, 64), 0.05


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other output)")
    parser.add_argument("--model", default="smollm2-135m", help="an option of conf/model")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3, help="timed ones, after one that is not")
    parser.add_argument("--tokens", type=int, default=256, help="of a trial's step, at most")
    parser.add_argument("--words", type=int, default=60, help="of the longest paragraph that is an example's turn")
    parser.add_argument("--items", type=int, default=8, help="replies that are scored; a quarter of them are spoken too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(given, Path(folder))))
    return 0


@dataclass
class Variant:
    """Slots of its own on one of the models. `seconds` are those of each step, `losses` the slots' in each."""

    shared: Any
    product: Callable[..., Any]
    slots: Sequence[Any]
    together: bool
    seconds: list[float] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)

    def step(self, row_tokens: int) -> None:
        """Take the next step of all slots, and keep its time."""
        from benchmarks.fused_run import step
        from benchmarks.step_clock import now

        self.shared.product = self.product
        groups = [self.slots] if self.together else [[slot] for slot in self.slots]
        began = now()
        came = [one for group in groups for one in step(self.shared, group, row_tokens)]
        self.seconds.append(now() - began)
        self.losses.append([one.loss for one in came])


def _measure(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    from benchmarks.fusion_sides import prepare
    from persona_exp.training.fused.row_packing import ROW_TOKENS

    trials = [{"r": RANKS[n % 4], "lr": 2e-4, "seed": n} for n in range(given.trials)]
    setting = {"model": given.model, "shape": None, "quantisation": "nf4", "steps": given.steps + 1, "tokens": given.tokens}
    prepare(work, {**setting, "words": given.words, "items": given.items}, trials, DROPOUT)
    task = json.loads((work / "work.json").read_text())
    variants = _variants(task)
    for number in range(given.steps + 1):
        for variant in list(variants.values())[:: 1 if number % 2 == 0 else -1]:
            variant.step(ROW_TOKENS)
    steps, slots = range(1, given.steps + 1), variants["all_on"].slots
    real = {step: sum(len(task["examples"][n][0]) for slot in slots for n in slot.examples_of(step)) for step in steps}
    pace = {name: statistics.median(one.seconds[step] / real[step] for step in steps) for name, one in variants.items()}
    wide = {step: sum(_padded(task, slot.examples_of(step)) for slot in slots) for step in steps}
    evaluation = _evaluation(task, variants["all_on"].shared, range(given.trials))
    return {
        "name": "engine_ablation",
        "setting": {**setting, "steps": given.steps, "items": given.items, "trials": trials, "dropout": DROPOUT, **_machine()},
        "ours": pace["all_on"],
        "baseline": pace["none"],
        "ratio": pace["none"] / pace["all_on"],
        "unit": "seconds per real token",
        "n": given.steps,
        "real_part_of_padded": sum(real.values()) / sum(wide.values()),
        "seconds_per_token": pace,
        # How many times slower it is without the idea.
        "without": {name: one / pace["all_on"] for name, one in pace.items() if name != "all_on"},
        "largest_loss_gap": {name: _gap(one, variants["all_on"]) for name, one in variants.items() if name != "all_on"},
        # How far B has come from zero: of one size, the variants have trained alike.
        "mean_abs_b": {
            name: statistics.mean(float(slot.adapter.b.detach().abs().mean()) for slot in one.slots) for name, one in variants.items()
        },
        "evaluation_seconds": evaluation,
        "evaluation_ratio": evaluation["one_at_a_time"] / evaluation["together"],
    }


def _variants(task: Mapping[str, Any]) -> dict[str, Variant]:
    """All on, each idea taken away, and all; on two models, one of which stays in NF4."""
    from benchmarks.fused_run import slots_of
    from benchmarks.fusion_sides import load
    from persona_exp.modeling.multi_lora.lora_product import add_one_by_one, add_padded
    from persona_exp.modeling.multi_lora.lora_product_selection import SelectedProduct
    from persona_exp.modeling.multi_lora.shared_model import SharedModel
    from persona_exp.modeling.nf4_dequantisation import dequantise

    cached, four_bit = SharedModel(load(task, task["attention"])), SharedModel(load(task, task["attention"]))
    dequantise(cached.model)
    usual = SelectedProduct()
    made = {
        "all_on": (cached, usual, False, True),
        "padded": (cached, usual, True, True),
        "four_bit": (four_bit, usual, False, True),
        "one_by_one": (cached, add_one_by_one, False, True),
        "padded_rank": (cached, add_padded, False, True),
        "one_at_a_time": (cached, usual, False, False),
        "none": (four_bit, add_one_by_one, True, False),
    }
    variants = {}
    count = len(task["trials"])
    for place, (name, (shared, product, padded, together)) in enumerate(made.items()):
        numbered = {place * count + number: trial for number, trial in enumerate(task["trials"])}
        slots = slots_of(
            shared.model,
            numbered,
            task["examples"],
            task["windows"],
            targets=task["targets"],
            dropout=task["dropout"],
            padded=padded,
        )
        for slot in slots:
            shared.join(slot.number, slot.adapter)
        variants[name] = Variant(shared, product, slots, together)
    return variants


def _padded(task: Mapping[str, Any], numbers: Sequence[int]) -> int:
    return len(numbers) * max(len(task["examples"][n][0]) for n in numbers)


def _evaluation(task: Mapping[str, Any], shared: Any, slots: Sequence[int]) -> dict[str, float]:
    """Seconds of measuring `slots` in one go and one after the other, each twice."""
    from benchmarks.fusion_sides import evaluate
    from benchmarks.step_clock import now
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(Path(task["folder"]), task["chat_template"])
    evaluate(shared.model, tokenizer, task, slots[:1], shared.activate_adapters)  # The first call warms up.
    seconds: dict[str, list[float]] = {"together": [], "one_at_a_time": []}
    for way in ("together", "one_at_a_time", "one_at_a_time", "together"):
        began = now()
        for group in [slots] if way == "together" else [[slot] for slot in slots]:
            evaluate(shared.model, tokenizer, task, group, shared.activate_adapters)
        seconds[way].append(now() - began)
    return {way: statistics.median(own) for way, own in seconds.items()}


def _gap(variant: Variant, of: Variant) -> float:
    return max(abs(a - b) for one, other in zip(variant.losses, of.losses, strict=True) for a, b in zip(one, other, strict=True))


def _machine() -> dict[str, Any]:
    import torch

    return {"cores": os.cpu_count(), "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}


if __name__ == "__main__":
    sys.exit(main())
