"""Attempts: one process's go at a trial, claimed so that two never work on it at once.

The claim is the exclusive creation of the next attempt's file. While the attempt runs its heartbeat counts up. An observer
believes an attempt dead when its process is gone (same host), or when the counter stands still for a lease on the observer's own clock.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp import files
from persona_exp.errors import UserError


class Superseded(Exception):
    """A later attempt was claimed: this one may publish nothing."""


HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0


@dataclass
class Attempt:
    """A claimed attempt: `record` is what its file says, `folder` its own log and checkpoints."""

    path: Path
    record: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.record["attempt"])

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin the heartbeat."""
        threading.Thread(target=self._beat, daemon=True).start()

    def note(self, **facts: Any) -> None:
        """Add to the record."""
        with self._lock:
            self.record.update(facts)
            files.write_json(self.path, self.record)

    def end(self, status: str, *, cause: str | None = None, message: str | None = None) -> None:
        """Say how it ended; the last word."""
        self._ended.set()
        self.note(status=status, cause=cause, message=message, ended=now())

    def superseded(self) -> bool:
        """Whether a later attempt has been claimed: then this one owns the trial no more and may publish nothing."""
        return latest(self.path.parent) != self.path

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self.note(heartbeat=self.record["heartbeat"] + 1)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def latest(attempts: Path) -> Path | None:
    """The file of the highest attempt."""
    return max(attempts.glob("[0-9]*.json"), default=None)


def claim(attempts: Path, **facts: Any) -> Attempt | None:
    """Create the next attempt; None when the trial is being worked on elsewhere, or another claimed it first."""
    last = latest(attempts)
    if last is not None and alive(last):
        return None
    number = int(last.stem) + 1 if last else 1
    record = {
        "attempt": number,
        "host": node(),
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "started": now(),
        "heartbeat": 0,
        "status": "running",
        **facts,
    }
    path = attempts / f"{number:04}.json"
    if not files.create_text(path, json.dumps(record, indent=2) + "\n"):
        return None
    attempt = Attempt(path, record)
    attempt.folder.mkdir(exist_ok=True)
    attempt.start()
    return attempt


def alive(path: Path, lease_seconds: float = LEASE_SECONDS) -> bool:
    """Whether the attempt of this file still runs; on another host that takes up to `lease_seconds` to tell."""
    record = _read(path)
    if record["status"] != "running":
        return False
    if record["host"] == node():
        return bool(process_started(record["pid"]) == record["process_started"])
    waited_from = time.monotonic()
    while time.monotonic() - waited_from < lease_seconds:
        time.sleep(1)
        seen = _read(path)
        if seen["status"] != "running":
            return False
        if seen["heartbeat"] != record["heartbeat"]:
            return True
    return False


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


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged: remove it to let the trial go on.") from error
    return record
