"""The records of a trial's attempts, as files."""

import errno
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.trial.folder_ids import is_config_name, is_seal_name

# Why an attempt ended that a search gave up: for good, or until it is among the best that have come so far.
PRUNED, PAUSED = "pruned", "paused"

# The status of an attempt whose record cannot be read.
DAMAGED = "damaged"
STATUSES = frozenset({"running", "finished", "failed", "interrupted", "cancelled", "pruned"})

_NONE = type(None)
_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("host", "process_started", "started", "ended", "cause", "message", "code", "search"), frozenset({str, _NONE})),
    **dict.fromkeys(("pid", "uid", "pid_namespace", "heartbeat", "gpus", "checkpoint_step", "resumed_from_step"), frozenset({int, _NONE})),
    **dict.fromkeys(("together", "row_tokens", "micro_batch_size"), frozenset({int, _NONE})),
    **dict.fromkeys(("heartbeat_seconds", "own_seconds"), frozenset({int, float, _NONE})),
    **dict.fromkeys(("progress", "job", "previous", "versions", "training", "labels", "validation"), frozenset({dict, _NONE})),
    "together_with": frozenset({list, _NONE}),
}
_PROGRESS_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("step", "of"), frozenset({int, _NONE})),
    **dict.fromkeys(("loss", "eta_seconds"), frozenset({int, float, _NONE})),
    "phase": frozenset({str, _NONE}),
}

# Over NFS a read may fail because another host has just replaced the file; opened again, it is the new one.
STALE_PAUSES = (0.02, 0.1, 0.5)


def attempt_files(trial_folder: Path) -> list[Path]:
    """Return the files of a trial's attempts, ascending."""
    return numbered(trial_folder / "attempts")


def numbered(attempts: Path) -> list[Path]:
    """Return the attempts' files in the folder `attempts`, ascending; names of more than four digits do not sort as numbers do."""
    return [attempts / name for name in numbered_names(str(attempts))]


def numbered_names(attempts: str) -> list[str]:
    """Return the names of the files of `numbered`: 20,000 trials are listed without making as many paths."""
    try:
        names = os.listdir(attempts)  # noqa: PTH208 (see above)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [name for name in names if name.endswith(".json") and name[:-5].isdigit()]
    return found if len(found) < 2 else sorted(found, key=lambda name: (int(name[:-5]), name))


def highest_number(attempts: Path) -> int:
    """Return the highest number that an attempt has, by its file or by its folder, which may have lost its file; 0 without any."""
    try:
        names = {path.name.removesuffix(".json") for path in attempts.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return max((int(name) for name in names if name.isdigit()), default=0)


def end_without_record(published_seal: str | None) -> dict[str, Any]:
    """Return how an attempt ended whose record cannot be read: finished where all that this seal asks for is published."""
    if published_seal:
        return {"status": "finished", "cause": None, "seal": published_seal}
    return {"status": "interrupted", "cause": DAMAGED}


def read_record(path: str | Path) -> dict[str, Any]:
    """Return an attempt's record. One that cannot be read has the status DAMAGED, and a message that says what is to be done.

    A live attempt writes its record anew with every heartbeat, a damaged one too.
    """
    name = os.path.basename(path)  # noqa: PTH119 (of 20,000 trials)
    number = int(name[:-5])
    try:
        record = parsed_json(_content(path))
        fault = record_fault(record, number)
    except (ValueError, IsADirectoryError):
        record, fault = {}, "it is not JSON"
    if fault is None:
        return {"attempt": number, "host": None, **record}
    where = f"attempts/{name} of trial {Path(path).parent.parent.name}"
    message = f"{where} is damaged ({fault}): give the command of the trial again, which goes on and keeps that file beside it"
    return {"attempt": number, "host": None, "status": DAMAGED, "cause": None, "message": message}


def record_fault(record: Any, number: int) -> str | None:
    """Return what keeps `record` from being that of attempt `number`, as a clause; None where nothing does."""
    if not isinstance(record, dict):
        return "it is no JSON object"
    if record.get("status") not in STATUSES:
        return "it has no status"
    if record.get("attempt", number) != number:
        return "it is of another attempt"
    wrong = _wrong_field(record)
    return f"its {wrong} is of the wrong type" if wrong else None


def _wrong_field(record: Mapping[str, Any]) -> str | None:
    """Return the name of a field that is of the wrong type; None without one. Large sweeps ask it of every record."""
    if wrong := _of_other_type(record, _TYPES):
        return wrong
    if (progress := record.get("progress")) and (wrong := _of_other_type(progress, _PROGRESS_TYPES)):
        return f"progress.{wrong}"
    for name, holds in (("seal", is_seal_name), ("config", is_config_name)):
        if record.get(name) is not None and not holds(record[name]):
            return name
    for name in ("training", "labels", "validation"):
        if record.get(name) is not None and not _counts(record[name]):
            return name
    job = record.get("job")
    if job is not None and not (isinstance(job.get("id"), str) and type(job.get("restarts")) in (int, _NONE)):
        return "job"
    return None


def _of_other_type(record: Mapping[str, Any], types: Mapping[str, frozenset[type]]) -> str | None:
    for name, value in record.items():
        kind = type(value)
        if name in types and (kind not in types[name] or (kind is float and not math.isfinite(value))):
            return name
    return None


def _counts(value: Any) -> bool:
    """Return whether `value` has numbers alone, and lists of names."""
    if isinstance(value, dict):
        return all(map(_counts, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, list | int)


def ended_by_search(record: Mapping[str, Any], search: str) -> bool:
    """Return whether the attempt of this record was pruned or paused by the search of that name: for all others it was interrupted."""
    given_up = record["status"] == "interrupted" and record.get("cause") in (PRUNED, PAUSED)
    return given_up and record.get("search") == search


def _content(path: str | Path) -> bytes:
    """Return a file that its owner replaces every few seconds. Raise OSError, which names it."""
    for pause in STALE_PAUSES:
        try:
            return record_bytes(path)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            time.sleep(pause)
    return record_bytes(path)
