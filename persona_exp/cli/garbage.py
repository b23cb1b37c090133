"""Files and folders under runs/ that are of no use any more."""

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json, record_bytes
from persona_exp.errors import UserError
from persona_exp.process_identity import process_started
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.comparability import base_trial_id
from persona_exp.trial.folder_ids import is_data_id, is_id, without_links
from persona_exp.trial.forgotten_sweep import is_forgotten
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.trial_status import CHECKPOINTS_ASIDE, TrialStatus, read_status

DAY_SECONDS = 86400.0
ELSEWHERE = "left by a writer on another machine"
GIVEN_UP = "checkpoints of trials that an ended search gave up, the worst first"
SEALED_ONLY = "sealed for no sweep, and never run"
FORGOTTEN = "sweeps that were forgotten"
OF_FORGOTTEN = "trials that forgotten sweeps alone ask for"

# The files of a sweep that name trials.
NAMED_IN = ("*.yaml", "*.json", "submissions/*.json", "asks/*.json", "added/*.json")

# Whether a process elsewhere writes them, or is about to run them, cannot be seen from here.
SPARED_WHILE_YOUNG = (ELSEWHERE, SEALED_ONLY)

# Large or many, and written by no staging of ours.
NOT_SEARCHED = ("checkpoints", CHECKPOINTS_ASIDE, "adapter", "books")

# What sealing writes into a trial's folder; `attempts` may be there too, empty.
_SEALING = re.compile(r"config(?:-[0-9a-f]+)?\.yaml|provenance\.json|seals|attempts")
_TRIAL_ID = re.compile(r"\b[0-9a-f]{12}\b")

# `.NAME.HOST.PID.THREAD.tmp` (atomic_files.write_text, runs/latest), `.HOST.PID` (code snapshots), `.NAME.HOST.PID.staged` (tokens), with
# whatever ending. The name in front is part of `host` here, for both may have points.
_STAGED = re.compile(r"\.(?P<host>.+?)\.(?P<pid>\d+)(?:\.\d+)?(?:\.(?:tmp|new|staging|staged))?$")


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go. `kind` says why; `seconds` is how long ago anything in it was last written.

    `loss` is the last validation loss of a trial that a search gave up.
    """

    path: Path
    kind: str
    bytes: int
    seconds: float
    loss: float = 0.0


class References:
    """The data and code that sealed trials refer to, and the names of trials elsewhere: read once, and again before anything is deleted."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._named: dict[Path, set[str]] = {}

    @cached_property
    def states(self) -> dict[str, TrialStatus]:
        trials = self._runs / "trials"
        return {path.name: read_status(path) for path in _folders(trials) if is_id(path.name)}

    @cached_property
    def _seals(self) -> dict[Path, dict[str, object] | None]:
        trials = self._runs / "trials"
        found = [path for one in self.states for path in [trials / one / "provenance.json", *_listed(trials / one / "seals")]]
        return {path: _json(path) for path in found if path.exists()}

    @cached_property
    def unreadable(self) -> list[Path]:
        """Seals and provenances of which nobody knows what they refer to: while there are any, no data and no code can go."""
        return [path for path, one in self._seals.items() if one is None or not is_data_id(one.get("data_id"))]

    @cached_property
    def unreadable_sweeps(self) -> list[Path]:
        """Files of sweeps of which nobody knows which trials they name: while there are any, nothing is sealed for no sweep."""
        found = []
        for folder in _folders(self._runs / "sweeps"):
            paths = [path for one in NAMED_IN for path in folder.glob(one) if path.suffix == ".json"]
            found += [path for path in paths if _unreadable(path)]
            try:
                read_sweep(self._runs, folder.name)
            except Damaged:
                found.append(folder / "sweep.yaml")
            except UserError:
                # The folder has no sweep.yaml.
                continue
        return found

    @cached_property
    def data(self) -> set[str]:
        return {str(one["data_id"]) for one in self._seals.values() if one and one.get("data_id")}

    @cached_property
    def code(self) -> set[str]:
        return {str(one["code_folder"]) for one in self._seals.values() if one and one.get("code_folder")}

    @cached_property
    def referenced(self) -> set[str]:
        """The trials that a sweep, a submission or a job names, and any other text of that form there."""
        named = {one for folder in _folders(self._runs / "sweeps") for one in self._named_by(folder)}
        paths = [path for path in (self._runs / "jobs").glob("*") if path.is_file()]
        return named | {found for path in paths for found in _TRIAL_ID.findall(_text(path))}

    @cached_property
    def given_up(self) -> dict[str, float]:
        """The last validation loss by trial of those that an ended search pruned or paused, and that no other sweep asks for."""
        found: dict[str, float] = {}
        for folder in _folders(self._runs / "sweeps"):
            try:
                ended = given_up_trials(folder)
            except Damaged:
                # Nobody knows what it gave up.
                ended = {}
            for trial_id, loss in ended.items():
                if not any(trial_id in self._named_by(other) for other in _folders(self._runs / "sweeps") if other != folder):
                    found[trial_id] = loss
        return found

    def _named_by(self, sweep_folder: Path) -> set[str]:
        """Return what a sweep names in the form of trials' ids."""
        if sweep_folder not in self._named:
            paths = [path for one in NAMED_IN for path in sweep_folder.glob(one)]
            self._named[sweep_folder] = {found for path in paths for found in _TRIAL_ID.findall(_text(path))}
        return self._named[sweep_folder]

    def runs_of(self, sweep_folder: Path) -> bool:
        """Return whether a trial that the sweep names is running, whatever became of the wish to forget it."""
        return any(one in self.states and self.states[one].status == "running" for one in self._named_by(sweep_folder))

    @cached_property
    def of_forgotten(self) -> set[str]:
        """The trials that forgotten sweeps alone ask for: of no other sweep or job, asked for by no command of its own, and neither the
        parent of another nor the base model of one that stays."""
        if self.unreadable or self.unreadable_sweeps:
            return set()
        folders = _folders(self._runs / "sweeps")
        gone = {found for folder in folders if is_forgotten(folder) for found in self._named_by(folder)}
        kept = {found for folder in folders if not is_forgotten(folder) for found in self._named_by(folder)}
        kept |= {found for path in (self._runs / "jobs").glob("*") if path.is_file() for found in _TRIAL_ID.findall(_text(path))}
        # A trial alone is a sweep of one, and forgotten with it; of older code it had no sweep, and stays.
        ends = [folder for folder in folders if is_forgotten(folder) and (folder / "sweep.yaml").is_file()]
        of_one = {found for folder in ends if _is_alone(read_sweep(self._runs, folder.name).command) for found in self._named_by(folder)}
        identities: dict[str, dict[str, Any]] = {}
        for path, one in self._seals.items():
            if path.name == "provenance.json" and one:
                if _is_alone(str(one.get("command"))) and path.parent.name not in of_one:
                    kept.add(path.parent.name)
                identity = one.get("identity")
                identities[path.parent.name] = identity if isinstance(identity, dict) else {}
        kept |= {str(lora.get("init_from")) for one in identities.values() if isinstance(lora := one.get("lora"), dict)}
        stays = [one for name, one in identities.items() if name in kept or name not in gone]
        kept |= {base for one in stays if isinstance(one.get("method"), dict) and (base := base_trial_id(one))}
        return {one for one in gone - kept if one in self.states}

    def never_run(self, trial_id: str) -> bool:
        """Return whether a trial was sealed and never run (for a sweep over its budget, say), and no sweep asks for it."""
        state = self.states.get(trial_id)
        if state is None or state.status != "sealed" or state.attempt or trial_id in self.referenced or self.unreadable_sweeps:
            return False
        folder = self._runs / "trials" / trial_id
        _, names, found = next(os.walk(folder), ("", [], []))
        named = [name for name in (*names, *found) if not name.startswith(".")]
        return all(map(_SEALING.fullmatch, named)) and not any((folder / "attempts").glob("*"))


def _is_alone(command: str) -> bool:
    """Return whether the command asked for one trial, and swept nothing."""
    return not {"-m", "--multirun"} & set(command.split())


def find_garbage(runs: Path, *, younger: bool = False) -> list[Garbage]:
    """Return what can be deleted under `runs`; nothing of a live attempt, and nothing younger than a day unless `younger`.

    What another machine was writing, and what was only sealed, is a day old in any case.
    """
    known, now = References(runs), time.time()
    # What a link leads to lies elsewhere, and is not ours to delete.
    found = [_garbage(path, kind, now) for path, kind in _candidates(runs, known) if without_links(runs, path.parent)]
    found = [replace(one, loss=known.given_up[_trial_of(runs, one.path)]) if one.kind == GIVEN_UP else one for one in found]
    return [one for one in found if one.seconds > DAY_SECONDS or (younger and one.kind not in SPARED_WHILE_YOUNG)]


def still_garbage(runs: Path, one: Garbage, known: References) -> bool:
    """Return whether a piece found earlier may still be deleted, by the newer references `known`."""
    if not without_links(runs, one.path.parent):
        return False
    if one.path.parent == runs / "data":
        return one.path.name not in known.data and not known.unreadable
    if one.path.parent == runs / "code":
        return one.path.name not in known.code and not known.unreadable
    if one.kind == FORGOTTEN:
        return is_forgotten(one.path) and not known.runs_of(one.path)
    trials = runs / "trials"
    if one.kind == OF_FORGOTTEN:
        return one.path.name in known.of_forgotten and known.states[one.path.name].status != "running"
    if one.kind == SEALED_ONLY:
        # A command that asks for it anew touches it before anything names it.
        return known.never_run(one.path.name) and _garbage(one.path, one.kind, time.time()).seconds > DAY_SECONDS
    if one.path.is_relative_to(trials):
        trial_id = one.path.relative_to(trials).parts[0]
        state = known.states.get(trial_id)
        return (state is None or state.status != "running") and (one.kind != GIVEN_UP or trial_id in known.given_up)
    return True


def _candidates(runs: Path, known: References) -> Iterator[tuple[Path, str]]:
    for trial_id, state in known.states.items():
        if trial_id in known.of_forgotten and state.status != "running":
            yield runs / "trials" / trial_id, OF_FORGOTTEN
        elif known.never_run(trial_id):
            yield runs / "trials" / trial_id, SEALED_ONLY
        elif state.status != "running":
            yield from _of_trial(runs / "trials" / trial_id, state, given_up=trial_id in known.given_up)
    if not known.unreadable:
        yield from ((path, "data that no trial refers to") for path in _datasets(runs) if path.name not in known.data)
        yield from ((path, "code that no trial refers to") for path in _folders(runs / "code") if path.name not in known.code)
    for place in (runs / "trials", runs / "sweeps", runs / "data", runs / "code"):
        yield from _staged(place)
    yield from _staged(runs, deep=False)
    # Behind their trials, which nothing would name any more.
    yield from ((path, FORGOTTEN) for path in _folders(runs / "sweeps") if is_forgotten(path) and not known.runs_of(path))


def _of_trial(folder: Path, state: TrialStatus, *, given_up: bool) -> Iterator[tuple[Path, str]]:
    for path in attempt_files(folder):
        attempt = path.with_suffix("")
        if not attempt.is_dir():
            continue
        for name in sorted(os.listdir(attempt)):  # noqa: PTH208 (thousands of them)
            if name == "fenced" or name.startswith("fenced-"):
                yield attempt / name, "results of attempts that were overtaken"
            elif name == "staging" and read_record(path)["status"] != "running" and any((attempt / name).glob("*")):
                yield attempt / name, "results of attempts that were cut short"
            elif name in ("checkpoints", CHECKPOINTS_ASIDE) and state.status == "finished":
                yield attempt / name, "checkpoints of finished trials"
            elif name in ("checkpoints", CHECKPOINTS_ASIDE) and given_up:
                yield attempt / name, GIVEN_UP


def given_up_trials(sweep_folder: Path) -> dict[str, float]:
    """Return the last validation loss by trial of those that a search pruned, or paused, where it has ended; else none.

    It has ended when all its trials have been asked for and none runs or waits to be begun: what is paused then stays so.
    """
    from persona_exp.search.ask_files import ask_numbers, read_asks
    from persona_exp.search.ask_results import read_result
    from persona_exp.search.study_settings import is_search, read_settings, to_ask

    if not is_search(sweep_folder):
        return {}
    runs, settings = sweep_folder.parent.parent, read_settings(sweep_folder)
    if to_ask(settings, ask_numbers(sweep_folder)):
        return {}
    results = [(ask, read_result(runs, sweep_folder.name, ask, settings.objectives, losses=True)) for ask in read_asks(sweep_folder)]
    if any(result.state in ("open", "running") for _, result in results):
        return {}
    ended = [(ask, result) for ask, result in results if result.state in ("pruned", "paused")]
    # Without a loss it was given up before it was validated, and is the worst.
    return {
        one.trial_id: result.losses[max(result.losses)] if result.losses else float("inf") for ask, result in ended for one in ask.trials
    }


def _trial_of(runs: Path, path: Path) -> str:
    return path.relative_to(runs / "trials").parts[0]


def _datasets(runs: Path) -> list[Path]:
    """Return the built datasets; what they share (shards, answers) is no dataset."""
    return [path for path in _folders(runs / "data") if (path / "manifest.json").is_file()]


def _staged(place: Path, *, deep: bool = True) -> Iterator[tuple[Path, str]]:
    """Yield files and folders that a process was writing: of this machine only those whose process is gone. `deep` goes into folders."""
    here = os.uname().nodename
    for current, names, found in os.walk(place):
        for name in [*(one for one in names if one.startswith(".")), *(one for one in found if one.startswith("."))]:
            staged = _STAGED.fullmatch(name)
            if name.startswith(".dropped-"):
                yield Path(current) / name, "deleted half-way"
            elif staged and not f".{staged['host']}".endswith(f".{here}"):
                yield Path(current) / name, ELSEWHERE
            elif staged and process_started(int(staged["pid"])) is None:
                yield Path(current) / name, "left by a writer that died"
        names[:] = [one for one in names if deep and not one.startswith(".") and one not in NOT_SEARCHED]


def _garbage(path: Path, kind: str, now: float) -> Garbage:
    count, newest = 0, 0.0
    for entry in _entries(path):
        count += entry.st_size if stat.S_ISREG(entry.st_mode) else 0
        newest = max(newest, entry.st_mtime)
    return Garbage(path, kind, count, now - newest)


def _entries(path: Path) -> Iterator[os.stat_result]:
    try:
        yield path.lstat()
        # What a link leads to is not what would go.
        for current, names, found in os.walk(path) if not path.is_symlink() else ():
            for name in [*names, *found]:
                yield (Path(current) / name).lstat()
    except FileNotFoundError:
        return


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith(".") and path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []


def _listed(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]  # noqa: PTH208
    except FileNotFoundError:
        return []


def _text(path: Path) -> str:
    try:
        return record_bytes(path).decode(errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return ""


def _unreadable(path: Path) -> bool:
    try:
        parsed_json(record_bytes(path))
    except (ValueError, IsADirectoryError):
        return True
    except FileNotFoundError:
        return False
    return False


def _json(path: Path) -> dict[str, object] | None:
    """Return a file's object; None where it cannot be read."""
    try:
        content = parsed_json(record_bytes(path))
    except (FileNotFoundError, ValueError, IsADirectoryError):
        return None
    return content if isinstance(content, dict) else None
