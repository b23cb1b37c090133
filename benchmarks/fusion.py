"""K LoRA trials on one machine: trained together by engine=fused, against TRL's SFTTrainer, a process a trial, one after the other.

    python benchmarks/fusion.py --json [--trials 8] [--steps 50] [--tokens 512] [--against packed|published]

Both sides see the same examples once (`--steps` steps of about `--tokens` tokens a trial), start in new processes, load the model, train
adapters of the same ranks and rates, and evaluate each on the same replies with the same code. `packed` is SFTTrainer with packing, one
row of `--tokens` tokens a step; `published` pads, two examples at a time, four times a step, as published recipes do. `ratio` is the
other side's seconds divided by ours, all included; `ratio_steps` that of the training steps alone.

The model is SmolLM2-135M in bfloat16 unless --model says otherwise. Two trials of five steps are the smallest that say anything.
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

RANKS, RATES, DROPOUT = (8, 16, 32, 64), (2e-4, 1e-3), 0.05
SIDES = ("fused", "packed", "published")


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other output)")
    parser.add_argument("--model", default="smollm2-135m", help="an option of conf/model")
    parser.add_argument("--quantisation", default="none", choices=("none", "nf4"))
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=512, help="of a trial's step, about")
    parser.add_argument("--items", type=int, default=16, help="replies that are scored; a quarter of them are spoken too")
    parser.add_argument("--against", default="packed", choices=SIDES[1:])
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--trial", type=int, action="append", help=argparse.SUPPRESS)
    given = parser.parse_args()
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
    setting = {name: getattr(given, name) for name in ("model", "quantisation", "steps", "tokens", "items")}
    prepare(work, setting, trials, DROPOUT)
    ours, our_parts = _timed("fused", work, list(range(given.trials)))
    theirs, their_parts = 0.0, []
    for trial in range(given.trials):
        seconds, parts = _timed(given.against, work, [trial])
        theirs += seconds
        their_parts.append(parts)
    other = {key: sum(part[key] for part in their_parts) for key in our_parts}
    gap = [abs(a - b) for a, b in zip(_losses(work, "fused"), _losses(work, given.against), strict=True)]
    return {
        "name": "fusion",
        "setting": {
            **setting,
            "trials": trials,
            "dropout": DROPOUT,
            "against": given.against,
            "cores": os.cpu_count(),
            "device": _device(),
        },
        "ours": ours,
        "baseline": theirs,
        "ratio": theirs / ours,
        "ratio_steps": (other["training"] / other["tokens"]) / (our_parts["training"] / our_parts["tokens"]),
        "unit": "seconds",
        "n": 1,
        "ours_parts": our_parts,
        "baseline_parts": other,
        "ours_tokens_per_second": our_parts["tokens"] / our_parts["training"],
        "baseline_tokens_per_second": other["tokens"] / other["training"],
        # Not the same to the last digit, since order and dropout differ; far apart, one of the two sides does not train.
        "median_gap_in_held_out_nats_per_token": statistics.median(gap),
    }


def _timed(side: str, work: Path, trials: list[int]) -> tuple[float, dict[str, float]]:
    """Seconds of the whole process; seconds of loading, training and evaluation, and the real tokens trained on."""
    command = [sys.executable, __file__, "--side", side, "--work", str(work)]
    for trial in trials:
        command += ["--trial", str(trial)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - started
    parts: dict[str, float] = json.loads((work / f"{side}-parts.json").read_text())
    return seconds, {**parts, "start": seconds - parts["loading"] - parts["training"] - parts["evaluation"]}


def _losses(work: Path, side: str) -> list[float]:
    return [json.loads(path.read_text())["nats_per_token"] for path in sorted(work.glob(f"{side}-trial-*.json"))]


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
