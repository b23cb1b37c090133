"""Checkpoints damaged between a kill and going on: the result is the same, or one sentence says why there is none.

    python benchmarks/corruption.py --cases 100 --json

A run is killed when it has several checkpoints; each case takes a copy of it, does one harm and gives the same command again. The harms:
each file of the newest checkpoint, its manifest with them, truncated, emptied, one bit of it flipped, removed; that checkpoint's folder
removed or emptied; and the same file harm done to every checkpoint there is, or to one named by RESUME_CHECKPOINT. A case is
"identical" when the command ends with exit code 0 and the SHA-256 of adapter_model.safetensors and of the evaluation's metrics.json of a
run never killed; "refused" when it ends otherwise with exactly one sentence that begins with "error: " and no traceback; else "wrong".
"by_scope" counts the harms to the newest checkpoint apart, which should all end identical. The runs are on an NF4 and on an unquantised
base in turns. The default, each harm once, is the smallest number that covers every file.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tiny_run import METHODS, Result, TinyRun, send, settings, tree  # noqa: E402
from persona_exp.progress_bar import progress  # noqa: E402

FOLDER = "the folder"
# The last is one engine's or the other's.
SOME = ("adapter_model.safetensors", "optimizer.pt", "manifest.json", "rng_state.pth", "lane.json")


def truncate(path: Path, moments: random.Random) -> None:
    """Keep a part, never the whole."""
    os.truncate(path, moments.randrange(1, max(path.stat().st_size, 2)))


def empty(path: Path, moments: random.Random) -> None:
    """Keep the name alone, of a file or of a folder."""
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        os.truncate(path, 0)


def flip(path: Path, moments: random.Random) -> None:
    """Turn one bit round."""
    content = bytearray(path.read_bytes())
    bit = moments.randrange(len(content) * 8)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


def remove(path: Path, moments: random.Random) -> None:
    """Take it away."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


HARMS: dict[str, Callable[[Path, random.Random], None]] = {"truncated": truncate, "emptied": empty, "bit-flipped": flip, "removed": remove}


@dataclass(frozen=True)
class Case:
    """One harm: what is done to which file (or the folder) of the newest checkpoint, of all, or of one named by hand."""

    scope: str
    file: str
    harm: str


@dataclass(frozen=True)
class Outcome:
    """What the command made of a case, with its last words where it was neither identical nor a refusal."""

    case: Case
    variant: str
    outcome: str
    words: str


def main() -> int:
    """Print one JSON object; 1 when any case ended wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, help="default: each harm once")
    parser.add_argument("--variants", nargs="+", default=list(METHODS), choices=METHODS, help="of the base model, in turns")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose run.py is run")
    parser.add_argument("--engine", default="fused", choices=("fused", "sft"))
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="corruption-"))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        variants = arguments.variants
        whole = [TinyRun(variant, folder / f"{variant}-whole", arguments.root, arguments.engine) for variant in variants]
        results = dict(zip(variants, pool.map(_whole, whole), strict=True))
        begun = [TinyRun(variant, folder / f"{variant}-killed", arguments.root, arguments.engine) for variant in variants]
        killed = dict(zip(variants, pool.map(_killed, begun, whole), strict=True))
        cases = every_case(_checkpoints(killed[variants[0]].trials)[-1])
        count = arguments.cases or len(cases)
        todo = [pool.submit(_try, number, cases[number % len(cases)], killed, results, folder, arguments.seed) for number in range(count)]
        outcomes = []
        with progress("cases", count) as meter:
            for one in as_completed(todo):
                outcomes.append(one.result())
                meter.advance(note=f"{sum(outcome.outcome == 'wrong' for outcome in outcomes)} wrong")
    result = summary(outcomes, len(cases), arguments.engine, time.monotonic() - started)
    print(json.dumps(result, indent=None if arguments.json else 2))
    if result["wrong"]:
        return 1
    shutil.rmtree(folder)
    return 0


def summary(outcomes: list[Outcome], harms: int, engine: str, seconds: float) -> dict[str, object]:
    """The JSON object."""
    counts = Counter(one.outcome for one in outcomes)
    scopes: dict[str, Counter[str]] = {}
    for one in outcomes:
        scopes.setdefault(one.case.scope, Counter())[one.outcome] += 1
    return {
        "name": "corruption",
        "setting": {**settings(engine), "harms": harms},
        **{outcome: counts[outcome] for outcome in ("identical", "refused", "wrong")},
        "of": len(outcomes),
        "by_scope": scopes,
        "files": sorted({one.case.file for one in outcomes}),
        "seconds": round(seconds, 1),
        "unit": "cases",
        "n": len(outcomes),
        "different": [asdict(one) for one in outcomes if one.outcome == "wrong"],
    }


def every_case(checkpoint: Path) -> list[Case]:
    """Each harm to each file of the newest checkpoint and to its folder, then the same for some files of all and of a chosen one."""
    names = sorted(path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file())
    cases = [Case("newest", name, harm) for name in names for harm in HARMS]
    cases += [Case("newest", FOLDER, harm) for harm in ("emptied", "removed")]
    for scope in ("all", "chosen"):
        cases += [Case(scope, name, harm) for name, harm in zip((name for name in SOME if name in names), HARMS, strict=False)]
        cases.append(Case(scope, FOLDER, "removed"))
    return cases


def harm(trials: Path, case: Case, moments: random.Random) -> Path:
    """Do it; the newest checkpoint's path, which `chosen` names."""
    checkpoints = _checkpoints(trials)
    for checkpoint in checkpoints if case.scope == "all" else checkpoints[-1:]:
        HARMS[case.harm](checkpoint if case.file == FOLDER else checkpoint / case.file, moments)
    return checkpoints[-1]


def judge(code: int, words: str, result: Callable[[], Result], expected: Result) -> str:
    """`identical`, `refused` or `wrong`."""
    if code == 0:
        return "identical" if result() == expected else "wrong"
    errors = [line for line in words.splitlines() if line.startswith("error: ")]
    return "refused" if len(errors) == 1 and "Traceback" not in words else "wrong"


def _try(number: int, case: Case, killed: dict[str, TinyRun], results: dict[str, Result], folder: Path, seed: int) -> Outcome:
    variant = list(killed)[number % len(killed)]
    base = killed[variant]
    run = TinyRun(variant, folder / f"{number:03}", base.root, base.engine)
    shutil.copytree(base.folder, run.folder)
    (run.folder / "output.log").unlink()
    newest = harm(run.trials, case, random.Random(f"{seed}-{number}"))
    more = {"RESUME_CHECKPOINT": str(newest)} if case.scope == "chosen" else {}
    code = run.start(**more).wait()
    words = (run.folder / "output.log").read_text(encoding="utf-8")
    outcome = judge(code, words, run.result, results[variant])
    if outcome != "wrong":
        shutil.rmtree(run.folder)
    return Outcome(case, variant, outcome, "" if outcome == "identical" else words[-600:])


def _whole(run: TinyRun) -> Result:
    run.folder.mkdir()
    if run.start().wait():
        raise RuntimeError(f"A run that was left alone failed: read {run.folder / 'output.log'}.")
    return run.result()


def _killed(run: TinyRun, whole: TinyRun) -> TinyRun:
    """Begin a run, with the dataset of the whole one, and kill all of it once it keeps two checkpoints."""
    run.folder.mkdir()
    run.begin_with_dataset_of(whole)
    process = run.start()
    while len(_checkpoints(run.trials)) < 2:
        if process.poll() is not None:
            raise RuntimeError(f"A run ended before it had two checkpoints: read {run.folder / 'output.log'}.")
        time.sleep(0.005)
    for pid in list(tree(process.pid)):
        send(pid, signal.SIGKILL)
    process.wait()
    return run


def _checkpoints(trials: Path) -> list[Path]:
    """Of the one trial below `trials`, by step."""
    return sorted(trials.glob("*/attempts/*/checkpoints/step-*"), key=lambda path: path.name)


if __name__ == "__main__":
    sys.exit(main())
