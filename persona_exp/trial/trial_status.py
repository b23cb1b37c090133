"""A trial's status, read off the files of its attempts. Reads only, and little: a sweep of 1,000 is read every second."""

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.process_identity import process_gone
from persona_exp.trial.attempt_records import DAMAGED, attempt_files, numbered_names, read_record
from persona_exp.trial.lost_attempts import lost_attempts

# Statuses that nothing but a person's word changes any more.
ENDED_STATUSES = frozenset({"finished", "pruned", "failed", "cancelled", "missing", DAMAGED})

# Where `persona-exp retry --from-scratch` moves an attempt's checkpoints, which then count as never saved.
CHECKPOINTS_ASIDE = "checkpoints-aside"

# So many trials are read one after the other; where each of them waited so often, READERS read the others.
TRIED, WAITS, READERS = 100, 1.0, 16

# What one count of an attempt's heartbeat stands for where its record does not say.
HEARTBEAT_SECONDS = 10.0


@dataclass(frozen=True)
class TrialStatus:
    """How a trial stands. `attempt` is the number of the last one, 0 where there is none; `record` is what its file says.

    `seconds` is the time that all attempts together ran, `gpus` what the last one ran on. `phase`, `step`, `max_steps`, `loss` and
    `eta_seconds` are the last attempt's own words. A trial that is not on disk at all is `missing`.
    """

    trial_id: str
    status: str
    cause: str | None = None
    message: str | None = None
    attempt: int = 0
    host: str | None = None
    job: dict[str, Any] | None = None
    phase: str | None = None
    step: int | None = None
    max_steps: int | None = None
    loss: float | None = None
    eta_seconds: float | None = None
    seconds: float = 0.0
    own_seconds: float = 0.0
    gpus: int = 0
    started: str | None = None
    ended: str | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def gpu_hours(self) -> float:
        """Of all attempts; of what a bundle takes, the trial's part."""
        return self.own_seconds * self.gpus / 3600

    @property
    def reason(self) -> str:
        """`failed (out_of_memory)`, for a table cell."""
        return f"{self.status} ({self.cause})" if self.cause else self.status


def read_status(trial_folder: Path) -> TrialStatus:
    """Return the status of the trial in this folder: damaged where its last attempt's file is, or all are gone, unless all that is asked
    is published.

    A `running` attempt whose process is gone from this machine is `interrupted`; of other machines only a lease can tell. A failed
    trial that a person allowed another try is `sealed` again, and one that a person cancelled is `cancelled` once nothing of it runs.
    """
    attempts = f"{trial_folder}/attempts"
    names = numbered_names(attempts)
    if not names:
        return TrialStatus(trial_folder.name, *_unstarted(trial_folder))
    records = [read_record(f"{attempts}/{name}") for name in names]
    record, number = records[-1], int(names[-1][:-5])
    progress = record.get("progress") or {}
    status, cause, message = _status(trial_folder, number, record)
    seconds = [attempt_seconds(one, status) for one in records]
    return TrialStatus(
        trial_id=trial_folder.name,
        status=status,
        cause=cause,
        message=message,
        attempt=number,
        host=record.get("host"),
        job=record.get("job"),
        phase=progress.get("phase"),
        step=progress.get("step"),
        max_steps=progress.get("of"),
        loss=progress.get("loss"),
        eta_seconds=progress.get("eta_seconds"),
        seconds=sum(seconds),
        own_seconds=sum(map(_own_seconds, records, seconds)),
        gpus=int(record.get("gpus") or 0),
        started=record.get("started"),
        ended=record.get("ended"),
        record=record,
    )


def read_statuses(runs: Path, trial_ids: Iterable[str]) -> list[TrialStatus]:
    """Return `read_status` of each trial under `runs`, in the order given.

    Where the file server makes a reader wait (NFS, a cold cache), several are read at a time.
    """
    folders = [runs / "trials" / trial_id for trial_id in trial_ids]
    waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    first = [read_status(one) for one in folders[:TRIED]]
    rest = folders[TRIED:]
    # A wait for a file, unlike one for a busy processor, is the process's own.
    waited = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - waited
    if waited < WAITS * len(first) or not rest:
        return first + [read_status(one) for one in rest]
    from concurrent.futures import ThreadPoolExecutor

    chunks = [rest[start : start + TRIED] for start in range(0, len(rest), TRIED)]
    with ThreadPoolExecutor(READERS) as pool:
        return first + [state for chunk in pool.map(lambda chunk: [read_status(one) for one in chunk], chunks) for state in chunk]


def saved_step(trial_folder: Path, of: Callable[[Mapping[str, Any]], bool] = lambda record: True) -> int | None:
    """Return the highest optimiser step that an attempt (`of` which holds) recorded as saved and should still be there; None without any.

    Steps that a person set aside count no more, nor do those that were cleared away when the adapter stood.
    """
    highest: int | None = None
    for path in attempt_files(trial_folder):
        record = read_record(path)
        if record.get("checkpoints_cleared"):
            highest = None
        elif of(record) and record.get("checkpoint_step") is not None and not (path.with_suffix("") / CHECKPOINTS_ASIDE).exists():
            highest = max(highest or 0, int(record["checkpoint_step"]))
    return highest


def attempt_seconds(record: Mapping[str, Any], status: str = "running") -> float:
    """Return how long an attempt ran; one without a last word, by its heartbeat, unless it is running still."""
    started = _time(record.get("started"))
    ended = _time(record.get("ended")) or (datetime.now(UTC) if record["status"] == status == "running" else None)
    if started is None or ended is None:
        return float(record.get("heartbeat") or 0) * float(record.get("heartbeat_seconds") or HEARTBEAT_SECONDS)
    return max(0.0, (ended - started).total_seconds())


def _own_seconds(record: Mapping[str, Any], seconds: float) -> float:
    """Return of a bundle's `seconds` the attempt's part, as it says itself, else an equal one."""
    if "own_seconds" in record:
        return float(record["own_seconds"])
    return seconds / (record.get("together") or 1 + len(record.get("together_with") or ()))


def _status(folder: Path, number: int, record: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    status, cause, message = str(record["status"]), record.get("cause"), record.get("message")
    if status == DAMAGED and _published(folder):
        return "finished", None, message
    if status == "running" and process_gone(record):
        status, cause = "interrupted", cause or "killed"
        message = message or f"process {record['pid']} is gone from {record['host']}"
    if status in ("running", "finished", "pruned", DAMAGED):
        return status, cause, message
    if (folder / "cancel.json").exists():
        return "cancelled", None, _cancelled(folder)
    if status == "failed" and (folder / "retries" / f"{number:04}").exists():
        return "sealed", None, f"allowed another try after attempt {number} failed ({cause})"
    return status, cause, message


def _published(folder: Path) -> bool:
    """Return whether all that one of the trial's seals asks for is published."""
    from persona_exp.trial.seal_facts import published_seal

    return published_seal(folder) is not None


def _unstarted(folder: Path) -> tuple[str, str | None, str | None]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 (of 20,000 trials)
    except (FileNotFoundError, NotADirectoryError):
        return "missing", None, "it was never sealed"
    lost = lost_attempts(folder, names)
    if lost and _published(folder):
        return "finished", None, lost
    if "cancel.json" in names:
        return "cancelled", None, _cancelled(folder)
    return (DAMAGED, None, lost) if lost else ("sealed", None, None)


def stopped_as(trial_folder: Path) -> str | None:
    """Return the trial that this one is as far as it came before a person stopped it; None where nobody did."""
    successor = cancel_request(trial_folder).get("trial_id")
    return None if successor is None else str(successor)


def cancel_request(folder: Path) -> dict[str, Any]:
    """Return what a person's cancellation of the trial says of itself (`by`, `at`, of a stopped one `trial_id` and `step`)."""
    try:
        request = parsed_json(record_bytes(folder / "cancel.json"))
    except (OSError, ValueError):
        return {}
    if not isinstance(request, dict) or not all(isinstance(request.get(key), str | None) for key in ("by", "at", "trial_id")):
        return {}
    return request


def _cancelled(folder: Path) -> str:
    request = cancel_request(folder)
    if request.get("trial_id"):
        return f"stopped at step {request.get('step')} by {request.get('by') or 'a person'}: trial {request['trial_id']} ends there"
    return f"cancelled by {request['by']}" if request.get("by") else "cancelled"


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
