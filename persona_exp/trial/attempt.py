"""Attempts: one process's go at a trial, claimed so that two never work on it at once.

The claim is the exclusive creation of the next attempt's file; while the attempt runs its heartbeat counts up. Claiming never waits:
whether an attempt on another machine is dead is for an observer with time to tell, who says so in `dead`.

Fencing. Results are staged in the attempt's own `staging` folder and published by rename. Who claims attempt N+1 creates its file first
and then renames every earlier attempt's `staging` away. A stale attempt that wakes up therefore finds its source gone, or, if it made
the folder anew, the later attempt's file there: either way it publishes nothing.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp import files
from persona_exp.process import pid_namespace, sees_others
from persona_exp.trial.record import numbered, read_record

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
        """Add to the record, which has no number that is not finite (ValueError)."""
        json.dumps(facts, allow_nan=False)
        with self._lock:
            self.record.update(facts)
            files.write_json(self.path, self.record)

    def progress(self, phase: str, step: int | None = None, of: int | None = None, loss: float | None = None) -> None:
        """Say how far it is: `phase` loading, training, evaluating or saving; optimiser steps done, of how many; the loss.

        What is not given stays as it was. Only another phase is written at once; the rest goes out with the next heartbeat.
        """
        before: Mapping[str, Any] = self.record.get("progress") or {}
        now_ = time.monotonic()
        eta = None
        if step is not None and of is not None:
            # It loads rich, which takes longer than a rehearsal's trial.
            from persona_exp.progress import remaining

            if self._pace is None or self._pace[0] != phase:
                self._pace = (phase, step, now_)
            elif step > self._pace[1]:
                rest = remaining(now_ - self._pace[2], step - self._pace[1], of - step)
                eta = None if rest is None else round(rest, 1)
        given = {"step": step, "of": of, "loss": loss}
        what = {"phase": phase, **{key: before.get(key) if value is None else value for key, value in given.items()}, "eta_seconds": eta}
        if before.get("phase") != phase:
            self.note(progress=what)
        else:
            with self._lock:
                self.record["progress"] = what

    def end(self, status: str, *, cause: str | None = None, message: str | None = None) -> None:
        """Say how it ended; the last word."""
        self._ended.set()
        self.note(status=status, cause=cause, message=message, ended=now())

    def superseded(self) -> bool:
        """Whether the next attempt has been claimed: then this one owns the trial no more and may publish nothing."""
        return self._next.exists()

    def raise_if_superseded(self) -> None:
        """Raise Superseded when a later attempt owns the trial; costs one stat."""
        if self.superseded():
            raise Superseded

    def publish(self, staged: Path, final: Path) -> bool:
        """Rename `staged`, a folder in `staging`, to `final` unless that is there; True when this call did. Raises Superseded.

        The look comes after everything is on the disk, which takes minutes for a whole model over NFS, and right before the rename.
        """
        try:
            return files.publish(staged, final, before=self._raise_if_listed)
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
                        files.write_json(self.path, self.record)
            except OSError as error:
                # A full disk or a file server that is away for a moment: the thread must outlive it, or the lease would run out.
                self.record["heartbeat_error"] = str(error)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def latest(attempts: Path) -> Path | None:
    """The file of the highest attempt."""
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
    if record and record["status"] == "running" and int(record["attempt"]) not in dead and not gone(record):
        return None
    if unless():
        return None
    number = int(last.stem) + 1 if last else 1
    path = attempts / f"{number:04}.json"
    mine = {
        "attempt": number,
        **this_process(),
        "started": now(),
        "heartbeat": 0,
        "heartbeat_seconds": heartbeat_seconds,
        "status": "running",
        "job": job(),
        "previous": _judged(record, dead) if record else None,
        **facts,
    }
    if not files.create_text(path, json.dumps(mine, indent=2, ensure_ascii=False) + "\n"):
        return None
    attempt = Attempt(path, mine, heartbeat_seconds)
    _fence(attempts, number)
    attempt.staging.mkdir(parents=True)
    attempt.start()
    # Whoever claimed the next attempt before `staging` was there could not fence it.
    if latest(attempts) != path:
        attempt.end("interrupted", cause="superseded", message="a later attempt owns this trial")
        return None
    return attempt


def close(path: Path, cause: str, message: str, *, status: str = "interrupted") -> None:
    """The last word for an attempt whose process died without one; by its supervisor, on the same host, after it is gone."""
    record = read_record(path)
    if record["status"] == "running":
        files.write_json(path, {**record, "status": status, "cause": cause, "message": message, "ended": now()})


def gone(record: Mapping[str, Any]) -> bool | None:
    """Whether the process of a `running` record is gone: True and False are certain, None is "cannot tell from here".

    Certain are a process that would be seen from here, and an earlier run of this very Slurm job, which was requeued since.
    """
    here, there = job(), record.get("job")
    if here and there and here["id"] == there["id"] and here["restarts"] > int(there["restarts"] or 0):
        return True
    return process_gone(record)


def this_process() -> dict[str, Any]:
    """What `process_gone` needs to know of this process."""
    pid = os.getpid()
    return {"host": node(), "pid": pid, "process_started": process_started(pid), "pid_namespace": pid_namespace(), "uid": os.getuid()}


def process_gone(record: Mapping[str, Any]) -> bool | None:
    """`gone`, by the process alone: of a record that `this_process` is part of.

    One host name may stand for several containers, each with process numbers of its own, and /proc may hide the processes of other
    users: what cannot be seen need not be gone.
    """
    if record.get("host") != node() or "pid" not in record or record.get("pid_namespace") not in (None, pid_namespace()):
        return None
    try:
        started = process_started(int(record["pid"]))
    except PermissionError:
        return None
    if started is not None and record.get("process_started") in (None, started):
        return False
    return True if record.get("uid") in (None, os.getuid()) or sees_others() else None


def job() -> dict[str, Any] | None:
    """The Slurm job that this process is part of; None outside one."""
    number = os.environ.get("SLURM_JOB_ID")
    if not number:
        return None
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return {
        "id": number,
        "array_id": os.environ.get("SLURM_ARRAY_JOB_ID") or None,
        "task_id": int(task) if task.isdigit() else None,
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        "name": os.environ.get("SLURM_JOB_NAME", ""),
    }


def node() -> str:
    """This machine's name; Slurm's own where there is one, since several nodes may share a host name."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def process_started(pid: int) -> str | None:
    """When a process of this host started (clock ticks since boot, with the boot's id), None when there is none.

    With the number alone a later process that got the same number would pass for the old one.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    if state in "ZX":
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{rest[18]}"


def _judged(record: Mapping[str, Any], dead: Collection[int]) -> dict[str, Any]:
    """What the one who takes over makes of the attempt before."""
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
