"""A trial's attempts one by one: where each ran, how it ended, with what the next went on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from persona_exp.cli.text.bundle_trials import bundled_with, joined_ids
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.units import duration, parse_time
from persona_exp.process_identity import process_gone
from persona_exp.trial.trial_status import attempt_seconds


def attempt_lines(records: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """Return a line an attempt, the first first."""
    after = [*records[1:], {}]
    return ["Its attempts:", *(f"  {one_line(_line(one, successor, now))}" for one, successor in zip(records, after, strict=True))]


def _line(record: Mapping[str, Any], successor: Mapping[str, Any], now: datetime) -> str:
    started = parse_time(record.get("started"))
    when = f"{started:%Y-%m-%d %H:%M}, " if started else ""
    status, cause, message = attempt_end(record, successor)
    outcome = status + (f" ({cause})" if cause else "")
    at = (record.get("progress") or {}).get("step")
    outcome += f" at step {at}" if at is not None and status not in ("finished", "running") else ""
    outcome += f": {' '.join(message.split())}" if message and status != "finished" else ""
    ran = duration((now - started).total_seconds() if status == "running" and started else attempt_seconds(record, status))
    return f"{record.get('attempt', '?')}. {record.get('host')}, {when}{ran}{_with(record)}: {outcome}"


def attempt_end(record: Mapping[str, Any], successor: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return (status, cause, message) of an attempt; of one that recorded no end, what its successor's worker found."""
    status, cause, message = str(record["status"]), record.get("cause"), record.get("message")
    decided = successor.get("previous") or {}
    if status == "running" and (successor or process_gone(record)):
        return "interrupted", decided.get("cause") or "killed", decided.get("message") or "it left no last word"
    return status, cause or (decided.get("cause") if status != "finished" else None), message or decided.get("message")


def _with(record: Mapping[str, Any]) -> str:
    """Return what it began with, and the trials that it ran with."""
    parts = [f"from step {record['resumed_from_step']}"] if record.get("resumed_from_step") else []
    parts += [f"micro-batch {record['micro_batch_size']}"] if record.get("micro_batch_size") else []
    others = bundled_with(record)
    parts += [f"together with {joined_ids(others)}"] if others else []
    return f", {', '.join(parts)}" if parts else ""
