"""The records of a trial's attempts, as files."""

import errno
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import parsed_json
from persona_exp.trial.folder_ids import is_config_name, is_seal_name

# Why an attempt ended that a search gave up: for good, or until it is among the best that have come so far.
PRUNED, PAUSED = "pruned", "paused"

# The status of an attempt whose record cannot be read.
DAMAGED = "damaged"
STATUSES = frozenset({"running", "finished", "failed", "interrupted", "cancelled", "pruned"})

_TEXTS = ("host", "process_started", "started", "ended", "cause", "message", "code", "search")
_WHOLE = (
    "pid",
    "uid",
    "pid_namespace",
    "heartbeat",
    "gpus",
    "checkpoint_step",
    "resumed_from_step",
    "together",
    "row_tokens",
    "micro_batch_size",
)
_OBJECTS = ("progress", "job", "previous", "versions", "training", "labels", "validation")

# Over NFS a read may fail because another host has just replaced the file; opened again, it is the new one.
STALE_PAUSES = (0.02, 0.1, 0.5)


def attempt_files(trial_folder: Path) -> list[Path]:
    """Return the files of a trial's attempts, ascending."""
    return numbered(trial_folder / "attempts")


def numbered(attempts: Path) -> list[Path]:
    """Return the attempts' files in the folder `attempts`, ascending; names of more than four digits do not sort as numbers do."""
    try:
        names = os.listdir(attempts)  # noqa: PTH208 (a listing of 1,000 folders must not make 10,000 paths)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [name for name in names if name.endswith(".json") and name[:-5].isdigit()]
    return [attempts / name for name in sorted(found, key=lambda name: (int(name[:-5]), name))]


def read_record(path: Path) -> dict[str, Any]:
    """Return an attempt's record. One that cannot be read has the status DAMAGED, and a message that says what is to be done.

    A live attempt writes its record anew with every heartbeat, a damaged one too.
    """
    number = int(path.stem)
    try:
        record = parsed_json(_content(path))
        fault = record_fault(record, number)
    except (ValueError, IsADirectoryError):
        record, fault = {}, "it is not JSON"
    if fault is None:
        return {"attempt": number, "host": None, **record}
    where = f"attempts/{path.name} of trial {path.parent.parent.name}"
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
    wrong = next(_wrong_fields(record), None)
    return f"its {wrong} is of the wrong type" if wrong else None


def _wrong_fields(record: Mapping[str, Any]) -> Iterator[str]:
    progress, job = record.get("progress"), record.get("job")
    yield from (name for name in _TEXTS if not isinstance(record.get(name), str | None))
    yield from (name for name in _WHOLE if not _is_number(record.get(name), whole=True))
    yield from (name for name in ("heartbeat_seconds", "own_seconds") if name in record and not _is_number(record[name] or 0.0))
    wrong = [name for name in _OBJECTS if not isinstance(record.get(name), dict | None)]
    if wrong:
        yield from wrong
        return
    yield from (["together_with"] if not isinstance(record.get("together_with"), list | None) else [])
    yield from (["seal"] if record.get("seal") is not None and not is_seal_name(record["seal"]) else [])
    yield from (["config"] if record.get("config") is not None and not is_config_name(record["config"]) else [])
    if isinstance(progress, dict):
        yield from (f"progress.{name}" for name in ("step", "of") if not _is_number(progress.get(name), whole=True))
        yield from (f"progress.{name}" for name in ("loss", "eta_seconds") if not _is_number(progress.get(name)))
        yield from ([] if isinstance(progress.get("phase"), str | None) else ["progress.phase"])
    yield from (name for name in ("training", "labels", "validation") if not _counts(record.get(name)))
    if isinstance(job, dict):
        yield from ([] if isinstance(job.get("id"), str) and _is_number(job.get("restarts"), whole=True) else ["job"])


def _counts(value: Any) -> bool:
    """Return whether `value` has numbers alone, and lists of names."""
    if isinstance(value, dict):
        return all(map(_counts, value.values()))
    return isinstance(value, list | bool) or _is_number(value)


def _is_number(value: Any, *, whole: bool = False) -> bool:
    if value is None:
        return True
    return not isinstance(value, bool) and isinstance(value, int if whole else int | float) and math.isfinite(value)


def ended_by_search(record: Mapping[str, Any], search: str) -> bool:
    """Return whether the attempt of this record was pruned or paused by the search of that name: for all others it was interrupted."""
    given_up = record["status"] == "interrupted" and record.get("cause") in (PRUNED, PAUSED)
    return given_up and record.get("search") == search


def _content(path: Path) -> bytes:
    """Return a file that its owner replaces every few seconds. Raise OSError, which names it."""
    try:
        for pause in STALE_PAUSES:
            try:
                return path.read_bytes()
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
                time.sleep(pause)
        return path.read_bytes()
    except OSError as error:
        # That of a read, unlike that of an open, has no name.
        error.filename = error.filename or str(path)
        raise
