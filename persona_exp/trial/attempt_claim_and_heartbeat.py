"""Attempts: one process's go at a trial, claimed so that two never work on it at once.

The claim is the exclusive creation of the next attempt's file; while the attempt runs its heartbeat counts up. Claiming never waits:
whether an attempt on another machine is dead is for an observer with time to tell, who says so in `dead`.

Fencing. Results are staged in the attempt's own `staging` folder and published by rename. Who claims attempt N+1 creates its file first
and then renames every earlier attempt's `staging` away. A stale attempt that wakes up therefore finds its source gone, or, if it made
the folder anew, the later attempt's file there: either way it publishes nothing.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.full_disk import is_full
from persona_exp.process_identity import process_gone, this_job, this_process
from persona_exp.trial.attempt_records import DAMAGED, highest_number, numbered, read_record
from persona_exp.trial.lost_attempts import note_began

HEARTBEAT_SECONDS = 10.0
STAGING, FENCED = "staging", "fenced"


class Superseded(Exception):
    """A later attempt was claimed: this one may publish nothing."""


class Cancelled(Exception):
    """A person wants the trial no more."""


@dataclass
class Attempt:
    """A claimed attempt: `record` is what its file says, `folder` its own log and checkpoints, `staging` what it means to publish."""

    path: Path
    record: dict[str, Any]
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    _pace: tuple[str, int, float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._next = self.path.with_name(f"{self.number + 1:04}.json")

    @property
    def number(self) -> int:
        return int(self.record["attempt"])

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")

    @property
    def staging(self) -> Path:
        return self.folder / STAGING

    def start(self) -> None:
        """Begin the heartbeat."""
        threading.Thread(target=self._beat, daemon=True).start()

    def note(self, **facts: Any) -> None:
        """Add to the record, which has no number that is not finite (ValueError); where the disk is full, a heartbeat writes it later."""
        json.dumps(facts, allow_nan=False)
        with self._lock:
            self.record.update(facts)
            try:
                atomic_files.write_json(self.path, self.record)
            except OSError as error:
                if not is_full(error):
                    raise
                self.record["heartbeat_error"] = str(error)

    def progress(self, phase: str, step: int | None = None, of: int | None = None, loss: float | None = None) -> None:
        """Say how far it is: `phase` loading, training, evaluating or saving; optimiser steps done, of how many; the loss.

        What is not given stays as it was. Only another phase is written at once; the rest goes out with the next heartbeat.
        """
        before: Mapping[str, Any] = self.record.get("progress") or {}
        now_ = time.monotonic()
        eta = None
        if step is not None and of is not None:
            # It loads rich, which takes longer than a rehearsal's trial.
            from persona_exp.progress_bar import remaining

            if self._pace is None or self._pace[0] != phase:
                self._pace = (phase, step, now_)
            elif step > self._pace[1]:
                rest = remaining(now_ - self._pace[2], step - self._pace[1], of - step)
                eta = None if rest is None else round(rest, 1)
        given = {"step": step, "of": of, "loss": atomic_files.finite(loss)}
        what = {"phase": phase, **{key: before.get(key) if value is None else value for key, value in given.items()}, "eta_seconds": eta}
        if before.get("phase") != phase:
            self.note(progress=what)
        else:
            with self._lock:
                self.record["progress"] = what

    def end(self, status: str, *, cause: str | None = None, message: str | None = None) -> None:
        """Record how it ended. Raise OSError, also where the disk is full: no heartbeat comes after it."""
        self._ended.set()
        with self._lock:
            self.record.update(status=status, cause=cause, message=message, ended=utc_now())
            atomic_files.write_json(self.path, self.record)

    def superseded(self) -> bool:
        """Return whether the next attempt has been claimed: then this one owns the trial no more and may publish nothing."""
        return self._next.exists()

    def raise_if_superseded(self) -> None:
        """Raise Superseded when a later attempt owns the trial; costs one stat."""
        if self.superseded():
            raise Superseded

    def publish(self, staged: Path, final: Path) -> bool:
        """Rename `staged`, a folder in `staging`, to `final` unless that is there; return True when this call did. Raise Superseded.

        The check comes after everything is on the disk, which takes minutes for a whole model over NFS, and right before the rename.
        """
        try:
            return atomic_files.publish(staged, final, before=self._raise_if_listed)
        except FileNotFoundError:
            # What was staged is gone: fenced off in this very moment.
            self._raise_if_listed()
            raise

    def _raise_if_listed(self) -> None:
        # Opening the folder asks the file server; over NFS a single absent name may be answered from memory, half a minute old.
        if latest(self.path.parent) != self.path:
            raise Superseded

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat_seconds):
            try:
                with self._lock:
                    if not self._ended.is_set():
                        self.record["heartbeat"] += 1
                        atomic_files.write_json(self.path, self.record)
            except OSError as error:
                # A full disk or a file server that is away for a moment: the thread must outlive it, or the lease would run out.
                self.record["heartbeat_error"] = str(error)


def utc_now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def latest(attempts: Path) -> Path | None:
    """Return the file of the highest attempt."""
    return next(reversed(numbered(attempts)), None)


def claim(
    attempts: Path,
    *,
    dead: Collection[int] | Mapping[int, tuple[str, str]] = (),
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    unless: Callable[[], bool] = lambda: False,
    **facts: Any,
) -> Attempt | None:
    """Create the next attempt; None when the trial is being worked on, another claimed it first, or `unless()`.

    It never waits. The last attempt is taken for running unless its number is in `dead` (an observer's word; a mapping gives cause and
    message of each) or it is provably gone. `unless` is asked after the last attempt was seen to have ended, so that what it published
    is there.
    """
    last = latest(attempts)
    record = read_record(last) if last else None
    if record and record["status"] == "running" and int(record["attempt"]) not in dead and not attempt_gone(record):
        return None
    if record and record["status"] == DAMAGED:
        # Whether it runs cannot be known; a person's command mends it.
        return None
    if unless():
        return None
    # A folder may have lost its record: its number is not given again.
    number = highest_number(attempts) + 1
    if number != (int(last.stem) + 1 if last else 1) and latest(attempts) != last:
        return None
    path = attempts / f"{number:04}.json"
    mine = {
        "attempt": number,
        **this_process(),
        "started": utc_now(),
        "heartbeat": 0,
        "heartbeat_seconds": heartbeat_seconds,
        "status": "running",
        "job": this_job(),
        "previous": _previous(record, dead) if record else None,
        **facts,
    }
    if not atomic_files.create_text(path, json.dumps(atomic_files.finite(mine), indent=2, ensure_ascii=False, allow_nan=False) + "\n"):
        return None
    note_began(attempts.parent)
    attempt = Attempt(path, mine, heartbeat_seconds)
    _fence(attempts, number)
    atomic_files.make_folder(attempt.staging, exist_ok=False)
    attempt.start()
    # A process that claimed the next attempt before `staging` was there could not fence it.
    if latest(attempts) != path:
        attempt.end("interrupted", cause="superseded", message="a later attempt owns this trial")
        return None
    return attempt


def close_attempt(path: Path, cause: str, message: str, *, status: str = "interrupted") -> None:
    """End the record of an attempt whose process died without; for its supervisor, on the same host."""
    record = read_record(path)
    if record["status"] == "running":
        atomic_files.write_json(path, {**record, "status": status, "cause": cause, "message": message, "ended": utc_now()})


def attempt_gone(record: Mapping[str, Any]) -> bool | None:
    """Return whether the process of a `running` record is gone: True and False are certain, None is "cannot tell from here".

    Certain are a process that would be seen from here, and an earlier run of this very Slurm job, which was requeued since.
    """
    here, there = this_job(), record.get("job")
    if here and there and here["id"] == there["id"] and here["restarts"] > int(there["restarts"] or 0):
        return True
    return process_gone(record)


def _previous(record: Mapping[str, Any], dead: Collection[int]) -> dict[str, Any]:
    """Return what the next attempt records of this one, and of its end."""
    number, cause, message = int(record["attempt"]), record.get("cause"), record.get("message")
    if record["status"] == "running":
        if number in dead:
            cause, message = dead[number] if isinstance(dead, Mapping) else ("node_failed", "its heartbeat stood still")
        elif process_gone(record):
            cause, message = "killed", f"process {record['pid']} is gone from {record['host']}"
        else:
            cause, message = "preempted", "its job was requeued"
    return {"attempt": number, "host": record["host"], "cause": cause, "message": message}


def _fence(attempts: Path, number: int) -> None:
    """Take what earlier attempts have staged out of their reach."""
    for staging in attempts.glob(f"[0-9]*/{STAGING}"):
        if int(staging.parent.name) < number:
            # One that was made anew after an earlier fence goes beside the first.
            taken = staging.with_name(FENCED)
            target = taken if not taken.exists() else staging.with_name(f"{FENCED}-by-{number:04}")
            try:
                staging.rename(target)
            except FileNotFoundError:
                # Another claimant, of an attempt later still, was as fast.
                continue
