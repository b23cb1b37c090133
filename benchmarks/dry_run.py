"""What one optimiser step of a bundle asks of a GPU, counted without one; and the time and memory that follow, as estimates.

    python benchmarks/dry_run.py --json --shape qwen2.5-7b --trials 8
    python benchmarks/dry_run.py --json --shape qwen2.5-7b --trials 8 --tokens 16384 --ranks 8 16 32 64 --quantisation nf4

The engine's own code takes one step of a model of that shape with tensors that have a device and no numbers (see fake_device.py), so that
shapes, devices, autograd, and the branches taken on a GPU are those of a real step, and nothing is measured. Counted are kernels (one for
each operation that computes), times that the host waits for the device, copies between them, floating-point operations of matrix products,
bytes read and written, and the bytes of all tensors that live at once. From these follow `seconds` on an H200 and an A100 at their
published limits: no real step is that fast, for starting kernels is not in it, nor what keeps kernels from these limits.

`ours` are the kernels of a step of all trials together, `baseline` those of the trials one after the other, each with its own documents.
NF4 is counted as the bundle computes it by default, turned into bfloat16 once. All examples are of one length and wholly supervised.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shapes import SHAPES, TARGETS  # noqa: E402


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other output)")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2.5-7b")
    parser.add_argument("--layers", type=int, help="so many decoder layers alone")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--ranks", type=int, nargs="+", default=[16], help="of the trials, over and over")
    parser.add_argument("--tokens", type=int, default=8192, help="of a row, which the trials share")
    parser.add_argument("--length", type=int, default=512, help="of an example, in tokens")
    parser.add_argument("--rows", type=int, default=1, help="of a step")
    parser.add_argument("--quantisation", default="none", choices=("none", "nf4"), help="nf4 as it is turned into bfloat16 once")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--together", action="store_true", help="count the trials together alone: without baseline and ratio")
    given = parser.parse_args()
    if min(given.trials, given.tokens, given.length, given.rows, given.layers or 1, *given.ranks) < 1:
        parser.error("--trials, --ranks, --tokens, --length, --rows and --layers must be 1 or more.")
    if given.layers and given.layers > SHAPES[given.shape]["num_hidden_layers"]:
        parser.error(f"--layers must be at most the shape's {SHAPES[given.shape]['num_hidden_layers']}.")
    if given.tokens % (given.trials * given.length):
        parser.error("--tokens must be a multiple of --trials times --length, so that all trials have as many examples.")
    print(json.dumps(_report(given)))
    return 0


def _report(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.roofline import ACCELERATORS, seconds

    began = time.monotonic()
    ranks = [given.ranks[number % len(given.ranks)] for number in range(given.trials)]
    asked = {"shape": given.shape, "layers": given.layers, "length": given.length, "dropout": given.dropout}
    count = counted_step(**asked, ranks=ranks, tokens=given.tokens, rows=given.rows)
    share = given.rows * given.tokens // given.trials
    own = {"tokens": min(share, given.tokens), "rows": max(1, share // given.tokens)}
    alone = {} if given.together else {rank: counted_step(**asked, ranks=[rank], **own).starts for rank in set(ranks)}
    separately = sum(alone[rank] for rank in ranks) if alone else None
    weights, tokens = _projected(given), given.tokens * given.rows
    formula = sum(memory_formula(**asked, ranks=ranks, tokens=given.tokens).values())
    least = {name: seconds(count.kernels, on) for name, on in ACCELERATORS.items()}
    return {
        "name": "dry_run",
        "estimate": True,
        "setting": {
            **{name: getattr(given, name) for name in ("shape", "layers", "trials", "tokens", "length", "rows", "dropout")},
            "ranks": ranks,
            "quantisation": "nf4, turned into bfloat16 once" if given.quantisation == "nf4" else "none, bfloat16",
            "step": "the first, with all that is made for later ones",
            "attention": "PyTorch's variable-length kernel, taken as proven",
            "device": "none: tensors without numbers, as on a GPU",
        },
        "ours": count.starts,
        "baseline": separately,
        "ratio": separately / count.starts if separately else None,
        "unit": "kernels of a step",
        "n": 1,
        "waits": len(count.waits),
        "waits_at": count.waits,
        "copies": count.copies,
        "kernels": count.starts,
        "kernels_by_name": count.by_name(),
        "flops": sum(one.flops for one in count.kernels),
        # Four operations a weight and token, as benchmarks/throughput.py counts them.
        "model_flops": 4 * weights * tokens,
        "moved_bytes": sum(one.moved for one in count.kernels),
        "seconds": least,
        "tokens_per_second": {name: tokens / one for name, one in least.items()},
        "peak_bytes": count.peak_bytes,
        "peak_parts": count.peak,
        "formula_bytes": formula,
        "formula_ratio": formula / count.peak_bytes,
        "seconds_to_count": round(time.monotonic() - began, 1),
    }


def estimated(*, shape: str, quantisation: str, ranks: Sequence[int], tokens: int, length: int, dropout: float) -> dict[str, Any]:
    """What this program says of such a step, in a process that sees no GPU; where it fails, how. Examples are about `length` long, so that
    a row of about `tokens` holds whole ones."""
    each = tokens // len(ranks)
    settings = {"--shape": shape, "--quantisation": quantisation, "--trials": len(ranks), "--length": each // max(1, round(each / length))}
    settings |= {"--tokens": settings["--length"] * max(1, round(each / length)) * len(ranks), "--dropout": dropout}
    command = [sys.executable, __file__, "--json", "--together", *(f"{part}" for pair in settings.items() for part in pair)]
    command += ["--ranks", *map(str, ranks)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if done.returncode:
        # What was measured beside it is not to be lost.
        return {"estimate": True, "failed": done.stderr[-500:]}
    found: dict[str, Any] = json.loads(done.stdout)
    counts = ("kernels", "waits", "flops", "moved_bytes", "peak_bytes", "formula_bytes")
    return {name: found[name] for name in ("estimate", "setting", *counts, "seconds", "tokens_per_second")}


def counted_step(
    *,
    shape: str,
    layers: int | None,
    ranks: Sequence[int],
    tokens: int,
    length: int,
    rows: int = 1,
    dropout: float = 0.0,
    targets: Sequence[str] = TARGETS,
    recompute: bool = False,
) -> Any:
    """The StepCount of one step of trials of these ranks, each with its share of `rows` rows of `tokens` tokens in examples of `length`."""
    from benchmarks.fake_device import DEVICE, fake_device
    from benchmarks.fused_run import slots_of
    from benchmarks.shapes import random_model
    from benchmarks.step_count import StepCount
    from persona_exp.modeling.multi_lora.shared_model import SharedModel
    from persona_exp.training.fused.bundle_step import bundle_step

    examples = [(range(length), range(length))] * (rows * tokens // len(ranks) // length)
    trials = {number: {"r": rank, "lr": 1e-4, "seed": number} for number, rank in enumerate(ranks)}
    with fake_device():
        model = random_model(shape, "none", "sdpa", layers=layers, device=DEVICE)
        shared = SharedModel(model, recompute=recompute)
        # Two windows, for a schedule has a last step.
        windows = [list(range(len(examples)))] * 2
        slots = slots_of(model, trials, examples, windows, targets=targets, dropout=dropout)
        for slot in slots:
            shared.join(slot.number, slot.adapter)
        count = StepCount()
        count.hold("weights", [*model.parameters(), *model.buffers()])
        count.hold("adapters", [one for slot in slots for weight in slot.adapter.parameters() for one in (weight, weight.grad)])
        count.hold("optimisers", [one for slot in slots for state in slot._optimizer.state.values() for one in state.values()])
        with count:
            came = bundle_step(shared, slots, tokens)
    for one in came.values():
        if isinstance(one, Exception):
            raise one
    return count


def memory_formula(
    *,
    shape: str,
    layers: int | None,
    ranks: Sequence[int],
    tokens: int,
    length: int,
    dropout: float = 0.0,
    targets: Sequence[str] = TARGETS,
    recompute: bool = False,
) -> dict[str, int]:
    """Bytes of tensors that the memory estimate expects of such a step on a GPU: of weights, of the slots' states, and of activations."""
    from persona_exp.modeling import training_memory_estimate

    sizes = _shape(shape, layers)
    row = training_memory_estimate.estimate_bundle_memory(
        sizes,
        training_memory_estimate.BundleTraining(
            quantisation="none",
            double_quantisation=True,
            dtype="bfloat16",
            row_tokens=tokens,
            longest=length,
            r=max(ranks),
            target_modules=targets,
            dropout=dropout,
            gradient_checkpointing=recompute,
            gpu=True,
        ),
    )
    slots = sum(training_memory_estimate.slot_bytes(sizes, r=rank, target_modules=targets, optimizer="adamw_torch") for rank in ranks)
    return {"weights": row.weights - training_memory_estimate.GPU_OVERHEAD, "slots": slots, "activations": row.activations}


def _shape(shape: str, layers: int | None) -> Any:
    from persona_exp.modeling.layer_sizes import LayerSizes

    sizes = SHAPES[shape]
    return LayerSizes(
        hidden=sizes["hidden_size"],
        intermediate=sizes["intermediate_size"],
        layers=layers or sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        key_value_heads=sizes["num_key_value_heads"],
        head_size=sizes["hidden_size"] // sizes["num_attention_heads"],
        vocabulary=sizes["vocab_size"],
        tied=False,
    )


def _projected(given: argparse.Namespace) -> int:
    """Weights that are multiplied with each token: all projections and the output head."""
    sizes = _shape(given.shape, given.layers)
    return int(sizes.projected + sizes.vocabulary * sizes.hidden)


if __name__ == "__main__":
    sys.exit(main())
