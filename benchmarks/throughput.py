"""Tokens a second of one QLoRA trial: engine=fused with a single trial, against TRL's SFTTrainer with its best settings.

    python benchmarks/throughput.py --json
    python benchmarks/throughput.py --json --shape qwen2.5-7b --lengths 2048 4096 --row-tokens 8192 16384 32768 --steps 12

SFTTrainer packs whole examples into rows, without padding, with FlashAttention where it is installed, PyTorch's fused AdamW and no
gradient checkpointing; our side takes the same rows, and its base is turned from NF4 into bfloat16 once, as model.cache_dequantized=auto
does where memory allows. Each side runs with each of --row-tokens in a process of its own, and its best counts. Examples are pieces of the
bundled stories of --lengths tokens, all supervised. Real tokens are counted, over the steps after the first.

`utilisation` is that of the 790 TFLOP/s that an H200 reaches in large bfloat16 products, at 4 operations a weight and token: two forward,
two for the gradient of what goes in, none for that of frozen weights; the input embedding is no product. null on other devices.
With --shape `estimate` is what benchmarks/dry_run.py says of our side's step, which is no measurement.

On a CPU the model is SmolLM2-135M and all is small. Six steps of 1,024 tokens are the smallest that say anything: five are steady, and
the products are as wide as the machine can use.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.dry_run import estimated  # noqa: E402
from benchmarks.shapes import SHAPES, TARGETS  # noqa: E402

SIDES = ("ours", "packed")
TRIAL: dict[str, Any] = {"r": 16, "lr": 2e-4, "seed": 0}
REACHED = {"H200": 790e12}


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other output)")
    parser.add_argument("--model", default="smollm2-135m", help="an option of conf/model; with --shape, whose tokenizer is used")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="random weights of this shape, made where they run, in place of --model")
    parser.add_argument("--quantisation", default="nf4", choices=("none", "nf4"))
    parser.add_argument("--four-bit", action="store_true", help="our side computes in NF4 as it is, too")
    parser.add_argument("--steps", type=int, default=6, help="at least 2: the first is not counted")
    parser.add_argument("--lengths", type=int, nargs=2, default=(256, 512), metavar=("FROM", "TO"), help="of the examples, in tokens")
    parser.add_argument("--row-tokens", type=int, nargs="+", default=[1024], help="of a step; each side's best counts")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--trl-attention", help="of SFTTrainer (default: FlashAttention where it is installed, else sdpa)")
    parser.add_argument("--trl-autocast", action=argparse.BooleanOptionalAction, help="bf16 of SFTTrainer (default: on a GPU)")
    parser.add_argument("--repeat", type=int, default=1, help="how often all is measured, in alternating order; medians are printed")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        _run(given.side, given.work, given.row_tokens[0])
        return 0
    if given.steps < 2:
        parser.error("--steps must be 2 or more: the first step is not counted.")
    if min(given.row_tokens) < given.lengths[1]:
        parser.error("--row-tokens must be no less than the longest of --lengths.")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_compare(given, Path(folder))))
    return 0


def _compare(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    names = ("model", "shape", "quantisation", "steps", "lengths", "dropout", "trl_attention")
    setting = {name: getattr(given, name) for name in names}
    setting |= {
        "trl_autocast": device != "cpu" if given.trl_autocast is None else given.trl_autocast,
        "cache_dequantized": given.quantisation == "nf4" and not given.four_bit,
    }
    _prepare(work, setting, given.row_tokens)
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for turn in range(given.repeat):
        for tokens in given.row_tokens:
            for side in SIDES if turn % 2 == 0 else reversed(SIDES):
                runs.setdefault((side, tokens), []).extend(_measured(side, work, tokens))
    found = {side: {tokens: _pace(runs[side, tokens]) for tokens in given.row_tokens if runs[side, tokens]} for side in SIDES}
    best = {side: max(own, key=lambda tokens: own[tokens]) for side, own in found.items() if own}
    if len(best) < len(SIDES):
        sys.exit("One of the sides failed with each of --row-tokens, for what it says above: where memory was short, give smaller ones.")
    pace = {side: found[side][best[side]] for side in SIDES}
    of_best = {side: runs[side, best[side]][0] for side in SIDES}
    weights, of_ours = of_best["ours"]["weights"], {"tokens": best["ours"], "length": sum(given.lengths) // 2, "dropout": given.dropout}
    peak = next((reached for name, reached in REACHED.items() if name in device), None)
    return {
        "name": "throughput",
        "setting": {
            **setting,
            "trial": TRIAL,
            "row_tokens": given.row_tokens,
            "best_row_tokens": best,
            "attention": {side: one["attention"] for side, one in of_best.items()},
            "largest_batch": {side: one["largest_batch"] for side, one in of_best.items()},
            "cores": os.cpu_count(),
            "device": device,
        },
        "ours": pace["ours"],
        "baseline": pace["packed"],
        "ratio": pace["ours"] / pace["packed"],
        "unit": "tokens per second",
        "n": given.repeat,
        "tokens_per_second": found,
        "utilisation": {side: one * 4 * weights / peak for side, one in pace.items()} if peak else None,
        "model_flops_per_token": 4 * weights,
        "peak_memory_bytes": {side: one["peak_memory_bytes"] for side, one in of_best.items()},
        "estimate": given.shape and estimated(shape=given.shape, quantisation=given.quantisation, ranks=[TRIAL["r"]], **of_ours),
        # How far B has come from zero: of one size, the sides have trained alike.
        "mean_abs_b": {side: one["mean_abs_b"] for side, one in of_best.items()},
    }


def _pace(runs: list[dict[str, Any]]) -> float:
    return statistics.median(one["parts"]["steady_tokens"] / one["parts"]["steady"] for one in runs)


def _measured(side: str, work: Path, tokens: int) -> list[dict[str, Any]]:
    """Return what a process measured; nothing where it failed, as for want of memory, which it has printed itself."""
    command = [sys.executable, __file__, "--side", side, "--work", str(work), "--row-tokens", str(tokens)]
    done = subprocess.run(command, check=False, stdout=sys.stderr)
    return [json.loads((work / f"{side}.json").read_text())] if done.returncode == 0 else []


def _prepare(work: Path, setting: Mapping[str, Any], row_tokens: list[int]) -> None:
    """Write down what both sides read: the model, and for each number of tokens the examples and their rows."""
    from benchmarks.fusion_sides import dialogues, rows_of
    from persona_exp.cli.config_from_overrides import compose_config
    from persona_exp.modeling.model_cache import cache_folder
    from persona_exp.modeling.model_source import fetch
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    model = compose_config([f"model={setting['model']}"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    tokenizer = load_tokenizer(folder, model.chat_template)
    turns = [turn["content"] for one in dialogues(words=1000) for turn in one[1:]]
    stream = tokenizer("\n".join(turns))["input_ids"]
    drawn = random.Random(0)
    lengths = [drawn.randint(*setting["lengths"]) for _ in range(setting["steps"] * max(row_tokens) // setting["lengths"][0] + 1)]
    work_of = {}
    for tokens in row_tokens:
        windows = rows_of(lengths, tokens, setting["steps"])
        count = sum(len(window) for window in windows)
        starts = [drawn.randrange(max(1, len(stream) - length)) for length in lengths[:count]]
        pieces = [(stream * (1 + length // len(stream)))[at : at + length] for at, length in zip(starts, lengths, strict=False)]
        work_of[tokens] = {"examples": [[ids, ids] for ids in pieces], "windows": windows}
    facts = {"folder": str(folder), "chat_template": model.chat_template, "dtype": model.dtype, "attention": model.attention}
    targets = list(TARGETS) if setting["shape"] else model.target_modules
    (work / "work.json").write_text(json.dumps({**setting, **facts, "targets": targets, "work_of": work_of}))


def _run(side: str, work: Path, tokens: int) -> None:
    """One side in this process; what came of it goes to `work`."""
    import torch

    from benchmarks.fused_run import slots_of, train_fused, watched
    from benchmarks.fusion_sides import load
    from benchmarks.sft_run import fastest_attention, packed, train_sft
    from benchmarks.step_clock import StepClock
    from persona_exp.modeling.multi_lora.document_attention import ATTENTION_NAME
    from persona_exp.modeling.nf4_dequantisation import dequantise
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    shared = json.loads((work / "work.json").read_text())
    own = shared["work_of"][str(tokens)]
    attention = (shared["trl_attention"] or fastest_attention()) if side == "packed" else shared["attention"]
    model = load(shared, attention)
    weights = sum(one.in_features * one.out_features for one in model.modules() if isinstance(one, torch.nn.Linear))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    lora = {"targets": shared["targets"], "dropout": shared["dropout"]}
    if side == "ours":
        if shared["cache_dequantized"]:
            dequantise(model)
        bundle, clock = watched(model), StepClock()
        slots = slots_of(model, {0: TRIAL}, own["examples"], own["windows"], **lora)
        train_fused(bundle, slots, len(own["windows"]), tokens, clock)
        largest, b, attention = bundle.largest, [slots[0].adapter.b], ATTENTION_NAME
    else:
        tokenizer, clock = load_tokenizer(Path(shared["folder"]), shared["chat_template"]), StepClock()
        model, largest = train_sft(
            model, tokenizer, own["examples"], TRIAL, packed(tokens, shared["trl_autocast"]), **lora, folder=work, clock=clock
        )
        b = [one for name, one in model.named_parameters() if "lora_B" in name]
    facts = {
        "attention": attention,
        "largest_batch": largest,
        "weights": weights,
        "mean_abs_b": float(sum(one.detach().float().abs().sum() for one in b)) / sum(one.numel() for one in b),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    (work / f"{side}.json").write_text(json.dumps({"parts": clock.parts(), **facts}))


if __name__ == "__main__":
    sys.exit(main())
