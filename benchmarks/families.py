"""Every causal family of transformers, tiny and random, trained for three steps by both engines and by plain transformers.

    python benchmarks/families.py --json
    python benchmarks/families.py --families llama granite gemma2 --json

The model of a family is its default configuration made small. Plain transformers is: the eager way, each conversation by itself, PEFT's
adapter, torch's AdamW. A family is `equal` when both engines have its losses (to 1e-5, in float32) in each step, `refused` when the fused
engine refuses it before step 1, in one sentence, and engine=sft has its losses, `unsupported` when both refuse it. What is none of these is
`wrong`; what cannot be made is not counted, and named with the reason.
"""

import argparse
import json
import math
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from persona_exp.errors import UserError
from persona_exp.modeling.base_model_dropout_off import switch_dropout_off
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.lora_targets import check_targets
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.engine_parity_check import ParityCheck, check_parity
from persona_exp.training.fused.slot import Slot
from persona_exp.training.fused.small_random_model import random_small_model, small_config
from persona_exp.training.hyperparameters import Hyperparameters, LoraSettings, OptimizerSettings
from persona_exp.training.learning_rate_schedule import learning_rate_factor
from persona_exp.training.steps_and_micro_batches import StepPlan

STEPS = 3
TOLERANCE = 1e-5
HYPERPARAMETERS = Hyperparameters(
    seed=7,
    lora=LoraSettings(r=4, alpha=8.0, dropout=0.0, rslora=False, target_modules=()),
    optimizer=OptimizerSettings("adamw_torch", 1e-3, "cosine", weight_decay=0.01, beta1=0.9, beta2=0.999, max_grad_norm=1.0),
    max_steps=STEPS,
    warmup_steps=1,
    effective_batch_size=3,
)
# Settings without which a default configuration is not that of a model: it leaves them to be set.
FILLED: dict[str, dict[str, Any]] = {
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 8, "num_hidden_layers": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8, "head_dim": 128},
    "dots1": {"n_routed_experts": 8, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "mistral": {"sliding_window": 4096},
    "granite": {"logits_scaling": 8.0, "attention_multiplier": 0.015625},
}


@dataclass(frozen=True)
class Outcome:
    """What became of a family: `kind` as above, `reason` the sentence of a refusal, and how far each engine's losses were off (nats)."""

    family: str
    kind: str
    reason: str
    fused: float | None
    sft: float | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--families", nargs="+", help="model types of transformers; all causal ones unless given")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    _quiet()
    # Products of this size are done before a second thread has begun.
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    unmade: dict[str, str] = {}
    for family in given.families or _families():
        try:
            config = small_config(_config(family))
            _runs(config)
        except Exception as error:
            unmade[family] = _first_line(error)
            continue
        try:
            outcomes.append(tried(family, config))
        except Exception as error:
            # Plain transformers has no losses to compare with.
            unmade[family] = f"in plain transformers: {_first_line(error)}"
            continue
        if not given.json:
            print(f"{family:24} {outcomes[-1].kind:12} {outcomes[-1].reason[:100]}", flush=True)
    counts = {kind: sum(one.kind == kind for one in outcomes) for kind in ("equal", "refused", "unsupported", "wrong")}
    if given.json:
        setting = {"steps": STEPS, "tolerance_nats": TOLERANCE, "dtype": "float32", "transformers": _version("transformers")}
        others = {"outcomes": [asdict(one) for one in outcomes], "unmade": unmade}
        print(json.dumps({"name": "families", "setting": setting, **counts, "of": len(outcomes), "n": 1, **others}))
    else:
        print(f"{counts}, of {len(outcomes)}; {len(unmade)} could not be made")
    return 1 if counts["wrong"] else 0


def _runs(config: Any) -> None:
    """Raise what transformers raises where a model of `config` computes nothing at all."""
    with torch.no_grad():
        random_small_model(config)(input_ids=torch.tensor([[3, 4, 5]]), use_cache=False)


def tried(family: str, config: Any) -> Outcome:
    """What becomes of the family whose configuration, made small, is `config`."""
    found = check_parity(config)
    if found.against_training:
        refused = _refused(found)
        return Outcome(family, "unsupported" if refused else "wrong", found.against_training, None, None)
    hyperparameters = _with_targets(found)
    examples = _examples(int(config.vocab_size))
    expected = plain(config, hyperparameters, examples)
    try:
        sft = _off(by_sft(config, hyperparameters, examples), expected)
        fused = None if found.against_rows else _off(by_fused(config, hyperparameters, examples), expected)
    except Exception as error:
        return Outcome(family, "wrong", _first_line(error), None, None)
    right = sft <= TOLERANCE and (fused is None or fused <= TOLERANCE)
    kind = "wrong" if not right else "refused" if found.against_rows else "equal"
    return Outcome(family, kind, found.against_rows, fused, sft)


def plain(config: Any, hyperparameters: Hyperparameters, examples: Sequence[Encoded]) -> list[float]:
    """The loss of each step as plain transformers and PEFT have it, one conversation at a time."""
    model: Any = _adapted(config, hyperparameters).eval()
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=hyperparameters.optimizer.lr,
        betas=(hyperparameters.optimizer.beta1, hyperparameters.optimizer.beta2),
        weight_decay=hyperparameters.optimizer.weight_decay,
    )
    found = []
    for step, chosen in enumerate(_steps(hyperparameters, examples)):
        supervised = sum(label != -100 for one in chosen for label in one.labels[1:])
        total = 0.0
        for one in chosen:
            logits = model(input_ids=torch.tensor([one.input_ids]), use_cache=False).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(one.labels[1:]), reduction="sum") / supervised
            loss.backward()
            total += float(loss)
        torch.nn.utils.clip_grad_norm_(parameters, hyperparameters.optimizer.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = hyperparameters.optimizer.lr * learning_rate_factor(
                step,
                lr_schedule=hyperparameters.optimizer.lr_schedule,
                warmup_steps=hyperparameters.warmup_steps,
                max_steps=hyperparameters.max_steps,
            )
        optimizer.step()
        optimizer.zero_grad()
        found.append(total)
    return found


def by_fused(config: Any, hyperparameters: Hyperparameters, examples: Sequence[Encoded]) -> list[float]:
    """The loss of each step as engine=fused has it, beside another trial on the same model."""
    model = random_small_model(config)
    check_targets(model, hyperparameters.lora.target_modules)
    shared = SharedModel(model)
    slots = [Slot(number, model, examples, hyperparameters) for number in (0, 1)]
    for slot in slots:
        shared.join(slot.number, slot.adapter)
    found = []
    for _ in range(STEPS):
        step = bundle_step(shared, slots, row_tokens=256)[0]
        if isinstance(step, Exception):
            raise step
        found.append(step.loss)
    return found


def by_sft(config: Any, hyperparameters: Hyperparameters, examples: Sequence[Encoded]) -> list[float]:
    """The loss of each step as engine=sft has it, in padded batches."""
    from transformers import AutoTokenizer

    from persona_exp.modeling.model_cache import cache_folder
    from persona_exp.modeling.tiny_test_model import fetch_tiny
    from persona_exp.training.sft_engine import CheckpointSettings, LogSettings, SftSettings, train_sft
    from persona_exp.training.stop_signals import Interruption

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.jsonl"
        train_sft(
            _adapted(config, hyperparameters),
            AutoTokenizer.from_pretrained(fetch_tiny(cache_folder())),
            examples,
            settings=SftSettings(
                StepPlan(STEPS, hyperparameters.warmup_steps, hyperparameters.effective_batch_size, 1),
                hyperparameters.optimizer,
                hyperparameters.seed,
                False,
            ),
            checkpoints=CheckpointSettings(Path(folder) / "checkpoints", 100, 100.0, keep=1, resume_from=None),
            log=LogSettings(log, 1, run_name="families"),
            interruption=Interruption(),
        )
        return [json.loads(line)["loss"] for line in log.read_text(encoding="utf-8").splitlines()]


def _adapted(config: Any, hyperparameters: Hyperparameters) -> Any:
    model = random_small_model(config)
    switch_dropout_off(model)
    return add_lora(
        model,
        hyperparameters.lora.r,
        hyperparameters.lora.alpha,
        hyperparameters.lora.dropout,
        list(hyperparameters.lora.target_modules),
        hyperparameters.lora.rslora,
        hyperparameters.seed,
    )


def _refused(found: ParityCheck) -> bool:
    """Whether the check that precedes both engines refuses such a model in one sentence."""
    from persona_exp.training.fused.engine_compatibility import EngineCompatibility
    from persona_exp.trial.engine_selection import refuse_untrainable

    try:
        refuse_untrainable("of this family", EngineCompatibility(False, found.against_rows, not found.against_training, (), None))
    except UserError as error:
        return "\n" not in str(error)
    return False


def _with_targets(found: ParityCheck) -> Hyperparameters:
    return replace(HYPERPARAMETERS, lora=replace(HYPERPARAMETERS.lora, target_modules=found.targets))


def _examples(vocabulary: int) -> list[Encoded]:
    """Conversations of unlike lengths, longer than every window; the second half of each is supervised."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for length in (29, 12, 40, 17, 9, 33, 21):
        ids = torch.randint(3, vocabulary, (length,), generator=generator).tolist()
        made.append(Encoded(ids, [-100] * (length // 2) + ids[length // 2 :], shortened=False, cut=False))
    return made


def _steps(hyperparameters: Hyperparameters, examples: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    for step in range(STEPS):
        numbers = examples_of_step(
            step, examples=len(examples), effective_batch_size=hyperparameters.effective_batch_size, seed=hyperparameters.seed
        )
        yield [examples[number] for number in numbers]


def _off(found: Sequence[float], expected: Sequence[float]) -> float:
    """The largest difference; infinite where steps are missing or not finite."""
    if len(found) != len(expected) or not all(map(math.isfinite, (*found, *expected))):
        return math.inf
    return max(abs(one - other) for one, other in zip(found, expected, strict=True))


def _families() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _config(family: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(family, **FILLED.get(family, {})).get_text_config()


def _first_line(error: Exception) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def _quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()


if __name__ == "__main__":
    sys.exit(main())
