"""What lies under runs/ and is of no use any more."""

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from persona_exp.trial.attempt import process_started
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.state import ASIDE, State, read_state

DAY_SECONDS = 86400.0
ELSEWHERE = "left by a writer on another machine"
SEALED_ONLY = "sealed for no sweep, and never run"

# Whether somebody still writes them, or is about to run them, cannot be seen from here.
SPARED_WHILE_YOUNG = (ELSEWHERE, SEALED_ONLY)

# Large or many, and written by no staging of ours.
NOT_SEARCHED = ("checkpoints", ASIDE, "adapter", "books")

# What sealing writes into a trial's folder; `attempts` may be there too, empty.
_SEALING = re.compile(r"config(?:-[0-9a-f]+)?\.yaml|provenance\.json|seals|attempts")
_TRIAL_ID = re.compile(r"\b[0-9a-f]{12}\b")

# `.NAME.HOST.PID.tmp` (files.write_text), `.HOST.PID` (code snapshots), with whatever ending.
_STAGED = re.compile(r"\.(?:.*\.)?(?P<host>[^.]+(?:\.[^.]+)*?)\.(?P<pid>\d+)(?:\.(?:tmp|new|staging))?$")


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go. `kind` says why; `seconds` is how long ago anything in it was last written."""

    path: Path
    kind: str
    bytes: int
    seconds: float


class References:
    """What sealed trials refer to, and what refers to them: read once, and once more before anything is deleted."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    @cached_property
    def states(self) -> dict[str, State]:
        trials = self._runs / "trials"
        return {path.name: read_state(path) for path in _folders(trials)}

    @cached_property
    def _seals(self) -> list[dict[str, object]]:
        trials = self._runs / "trials"
        found = [path for one in self.states for path in [trials / one / "provenance.json", *_listed(trials / one / "seals")]]
        return [_json(path) for path in found]

    @cached_property
    def data(self) -> set[str]:
        return {str(one["data_id"]) for one in self._seals if one.get("data_id")}

    @cached_property
    def code(self) -> set[str]:
        return {str(one["code_folder"]) for one in self._seals if one.get("code_folder")}

    @cached_property
    def asked(self) -> set[str]:
        """The trials that a sweep, a submission or a job names, and whatever else looks like one there."""
        sweeps = self._runs / "sweeps"
        paths = [*sweeps.glob("*/*.yaml"), *sweeps.glob("*/*.json"), *sweeps.glob("*/submissions/*.json")]
        paths += [path for path in (self._runs / "jobs").glob("*") if path.is_file()]
        return {found for path in paths for found in _TRIAL_ID.findall(_text(path))}

    def never_run(self, trial_id: str) -> bool:
        """Whether a trial was sealed, as a dry run does and a sweep over its budget, and nothing came of it: nobody asks for it."""
        state = self.states.get(trial_id)
        if state is None or state.status != "sealed" or state.attempt or trial_id in self.asked:
            return False
        folder = self._runs / "trials" / trial_id
        _, names, found = next(os.walk(folder), ("", [], []))
        named = [name for name in (*names, *found) if not name.startswith(".")]
        return all(map(_SEALING.fullmatch, named)) and not any((folder / "attempts").glob("*"))


def leftovers(runs: Path, *, younger: bool = False) -> list[Leftover]:
    """What can be deleted under `runs`, by kind; nothing of a live attempt, and nothing younger than a day unless `younger`.

    What another machine was writing, and what was sealed alone, is a day old in any case.
    """
    known, now = References(runs), time.time()
    found = [_leftover(path, kind, now) for path, kind in _candidates(runs, known)]
    return [one for one in found if one.seconds > DAY_SECONDS or (younger and one.kind not in SPARED_WHILE_YOUNG)]


def still(runs: Path, one: Leftover, known: References) -> bool:
    """Whether a leftover may go after all that `known` has seen since it was found."""
    if one.path.parent == runs / "data":
        return one.path.name not in known.data
    if one.path.parent == runs / "code":
        return one.path.name not in known.code
    trials = runs / "trials"
    if one.kind == SEALED_ONLY:
        # Whoever asks for it anew touches it before anything names it.
        return known.never_run(one.path.name) and _leftover(one.path, one.kind, time.time()).seconds > DAY_SECONDS
    if one.path.is_relative_to(trials):
        state = known.states.get(one.path.relative_to(trials).parts[0])
        return state is None or state.status != "running"
    return True


def _candidates(runs: Path, known: References) -> Iterator[tuple[Path, str]]:
    for trial_id, state in known.states.items():
        if known.never_run(trial_id):
            yield runs / "trials" / trial_id, SEALED_ONLY
        elif state.status != "running":
            yield from _of_trial(runs / "trials" / trial_id, state)
    yield from ((path, "data that no trial refers to") for path in _datasets(runs) if path.name not in known.data)
    yield from ((path, "code that no trial refers to") for path in _folders(runs / "code") if path.name not in known.code)
    for place in (runs / "trials", runs / "sweeps", runs / "data", runs / "code"):
        yield from _staged(place)


def _of_trial(folder: Path, state: State) -> Iterator[tuple[Path, str]]:
    for path in attempt_files(folder):
        attempt = path.with_suffix("")
        if not attempt.is_dir():
            continue
        for name in sorted(os.listdir(attempt)):  # noqa: PTH208 (thousands of them)
            if name == "fenced" or name.startswith("fenced-"):
                yield attempt / name, "results of attempts that were overtaken"
            elif name == "staging" and read_record(path)["status"] != "running" and any((attempt / name).iterdir()):
                yield attempt / name, "results of attempts that were cut short"
            elif name in ("checkpoints", ASIDE) and state.status == "finished":
                yield attempt / name, "checkpoints of finished trials"


def _datasets(runs: Path) -> list[Path]:
    """Built datasets; what they share (parts, answers) is no dataset."""
    return [path for path in _folders(runs / "data") if (path / "manifest.json").is_file()]


def _staged(place: Path) -> Iterator[tuple[Path, str]]:
    """Files and folders that a process was writing: of this machine only those whose process is gone."""
    here = os.uname().nodename
    for current, names, found in os.walk(place):
        for name in [*(one for one in names if one.startswith(".")), *(one for one in found if one.startswith("."))]:
            told = _STAGED.fullmatch(name)
            if name.startswith(".dropped-"):
                yield Path(current) / name, "deleted half-way"
            elif told and not told["host"].endswith(here):
                yield Path(current) / name, ELSEWHERE
            elif told and process_started(int(told["pid"])) is None:
                yield Path(current) / name, "left by a writer that died"
        names[:] = [one for one in names if not one.startswith(".") and one not in NOT_SEARCHED]


def _leftover(path: Path, kind: str, now: float) -> Leftover:
    count, newest = 0, 0.0
    for entry in _entries(path):
        count += entry.st_size if stat.S_ISREG(entry.st_mode) else 0
        newest = max(newest, entry.st_mtime)
    return Leftover(path, kind, count, now - newest)


def _entries(path: Path) -> Iterator[os.stat_result]:
    try:
        yield path.lstat()
        for current, names, found in os.walk(path):
            for name in [*names, *found]:
                yield (Path(current) / name).lstat()
    except FileNotFoundError:
        return


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith(".") and path.is_dir())
    except FileNotFoundError:
        return []


def _listed(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]  # noqa: PTH208
    except FileNotFoundError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
