"""K LoRA trials on one machine: trained together by engine=fused, against TRL's SFTTrainer, a process a trial, one after the other.

    python benchmarks/fusion.py --json
    python benchmarks/fusion.py --json --trials 8 --steps 50 --against packed published
    python benchmarks/fusion.py --json --shape qwen2.5-7b --quantisation nf4 --cache-dequantized --trials 8 --tokens 1024

All sides see the same examples once, start in new processes, load the model, train adapters of the same ranks and rates, and evaluate
each on the same replies with the same code. `packed` is SFTTrainer as it is fastest: whole examples packed into rows of `--tokens` tokens,
one row a step, which the fused side takes as its steps too. `published` is SFTTrainer as published recipes use it: two examples at a time,
padded to 1,024 tokens, four times a step, so it takes other steps over the same examples. Neither recomputes activations.

`ratio` is the other side's seconds divided by ours, all included; `ratio_steps` that of the seconds a real token of the steady training
steps alone: without start, loading, preparation, each process's first step, and evaluation. Both are against the first of --against, and
against each under `against`. With --shape, `estimate` is what benchmarks/dry_run.py says of a row of the fused side: no measurement.

The model is SmolLM2-135M in bfloat16 unless --model or --shape say otherwise. The default, four trials of ten steps, is the smallest that
means something: fewer steps, and starting and loading outweigh training; fewer trials, and there is little to share.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.dry_run import estimated  # noqa: E402
from benchmarks.shapes import SHAPES  # noqa: E402

RANKS, RATES, DROPOUT = (8, 16, 32, 64), (2e-4, 1e-3), 0.05
SIDES = ("fused", "packed", "published")


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other output)")
    parser.add_argument("--model", default="smollm2-135m", help="an option of conf/model; with --shape, whose tokenizer is used")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="random weights of this shape, made where they run, in place of --model")
    parser.add_argument("--quantisation", default="none", choices=("none", "nf4"))
    parser.add_argument("--cache-dequantized", action="store_true", help="the fused side turns NF4 into bfloat16 once, after loading")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="of each trial, at least 2: the first is not a steady one")
    parser.add_argument("--tokens", type=int, default=512, help="of a trial's step, at most")
    parser.add_argument("--row-tokens", type=int, help="of one pass of the fused side (what bundle.row_tokens is by itself)")
    parser.add_argument("--words", type=int, default=60, help="of the longest paragraph that is an example's turn")
    parser.add_argument("--items", type=int, default=16, help="replies that are scored; a quarter of them are spoken too")
    parser.add_argument("--against", nargs="+", default=["packed"], choices=SIDES[1:])
    parser.add_argument("--baseline-trials", type=int, help="run only so many of the others' trials, and multiply their seconds")
    parser.add_argument("--trl-attention", help="of the packed side (default: FlashAttention where it is installed, else sdpa)")
    parser.add_argument("--trl-autocast", action=argparse.BooleanOptionalAction, help="bf16 of SFTTrainer (default: on a GPU)")
    parser.add_argument("--repeat", type=int, default=1, help="how often all is measured, in alternating order; medians are printed")
    parser.add_argument("--side", choices=(*SIDES, "untrained"), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--trial", type=int, action="append", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.steps < 2:
        parser.error("--steps must be 2 or more: the first step is no steady one.")
    if given.side:
        from benchmarks.fusion_sides import run

        run(given.side, given.work, given.trial)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_compare(given, Path(folder))))
    return 0


def _compare(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    from benchmarks.fusion_sides import prepare

    trials = [{"r": RANKS[n % 4], "lr": RATES[n // 4 % 2], "seed": n} for n in range(given.trials)]
    names = ("model", "shape", "quantisation", "cache_dequantized", "steps", "tokens", "words", "items", "trl_attention")
    setting = {name: getattr(given, name) for name in names}
    setting["row_tokens"] = given.row_tokens
    setting["trl_autocast"] = _device() != "cpu" if given.trl_autocast is None else given.trl_autocast
    prepare(work, setting, trials, DROPOUT)
    sides = ["fused", *dict.fromkeys(given.against)]
    alone = min(given.baseline_trials or given.trials, given.trials)
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for turn in range(given.repeat):
        for side in sides if turn % 2 == 0 else reversed(sides):
            runs[side].append(_together(work, given.trials) if side == "fused" else _one_by_one(side, work, alone, given.trials))
    medians = {side: _medians(of_side) for side, of_side in runs.items()}
    subprocess.run(_command("untrained", work, [0]), check=True, stdout=sys.stderr)
    untrained = json.loads((work / "untrained.json").read_text())["nats"][0]
    others = {side: _compared(medians["fused"], medians[side]) for side in sides[1:]}
    first = others[sides[1]]
    return {
        "name": "fusion",
        "setting": {
            **setting,
            "trials": trials,
            "baseline_trials": alone,
            "dropout": DROPOUT,
            "against": sides[1:],
            "attention": {side: runs[side][0]["attention"] for side in sides},
            # The rows and columns of the largest batch: what is wider than its examples is padded.
            "largest_batch": {side: runs[side][0]["largest_batch"] for side in sides},
            "row_tokens": runs["fused"][0]["row_tokens"],
            "steps_of_a_trial": {side: medians[side]["steps"] / (1 if side == "fused" else given.trials) for side in sides},
            "examples_of_a_trial": sum(len(row) for row in json.loads((work / "work.json").read_text())["windows"]),
            "cores": os.cpu_count(),
            "device": _device(),
        },
        **{key: first[key] for key in ("ours", "baseline", "ratio", "ratio_steps")},
        "unit": "seconds",
        "n": given.repeat,
        "ours_parts": medians["fused"],
        "baseline_parts": medians[sides[1]],
        "against": others,
        "estimate": given.shape and _estimate(given, work, [trial["r"] for trial in trials], runs["fused"][0]["row_tokens"]),
        # Not the same to the last digit, since order and dropout differ; far apart, one of the sides does not train.
        "held_out_nats_per_token": {"untrained": untrained, **{side: runs[side][0]["nats"] for side in sides}},
    }


def _estimate(given: argparse.Namespace, work: Path, ranks: list[int], row_tokens: int) -> dict[str, Any]:
    """Of the longest row of the fused side: that of a step of all trials, or as much of it as one row holds."""
    lengths = [len(ids) for ids, _ in json.loads((work / "work.json").read_text())["examples"]]
    tokens = min(row_tokens, given.tokens * given.trials)
    length = sum(lengths) // len(lengths)
    return estimated(shape=given.shape, quantisation=given.quantisation, ranks=ranks, tokens=tokens, length=length, dropout=DROPOUT)


def _compared(ours: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    """The fused side's medians against another's."""
    pace, other_pace = (one["steady"] / one["steady_tokens"] for one in (ours, other))
    return {
        "ours": ours["seconds"],
        "baseline": other["seconds"],
        "ratio": other["seconds"] / ours["seconds"],
        "ratio_steps": other_pace / pace,
        "ours_tokens_per_second": 1 / pace,
        "baseline_tokens_per_second": 1 / other_pace,
        "parts": other,
    }


def _together(work: Path, trials: int) -> dict[str, Any]:
    return _timed("fused", work, list(range(trials)))


def _one_by_one(side: str, work: Path, alone: int, trials: int) -> dict[str, Any]:
    """`alone` trials, each in a process of its own; the parts of `trials` of them."""
    found = [_timed(side, work, [trial]) for trial in range(alone)]
    parts = {key: sum(one["parts"][key] for one in found) * trials / alone for key in found[0]["parts"]}
    return {**found[0], "parts": parts, "nats": [nats for one in found for nats in one["nats"]]}


def _timed(side: str, work: Path, trials: list[int]) -> dict[str, Any]:
    """What the process wrote down, and in its parts the seconds of all of it and of its start: interpreter, imports and end."""
    started = time.perf_counter()
    subprocess.run(_command(side, work, trials), check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - started
    written: dict[str, Any] = json.loads((work / f"{side}.json").read_text())
    parts = written["parts"]
    start = seconds - parts["loading"] - parts["training"] - parts["evaluation"]
    return {**written, "parts": {"seconds": seconds, "start": start, **parts}}


def _command(side: str, work: Path, trials: list[int]) -> list[str]:
    command = [sys.executable, __file__, "--side", side, "--work", str(work)]
    return command + [word for trial in trials for word in ("--trial", str(trial))]


def _medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {key: statistics.median(one["parts"][key] for one in runs) for key in runs[0]["parts"]}


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
