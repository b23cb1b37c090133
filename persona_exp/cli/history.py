"""A trial's attempts one by one: where each ran, how it ended, with what the next went on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from persona_exp.cli import company
from persona_exp.cli.quantities import span, time
from persona_exp.trial.attempt import process_gone
from persona_exp.trial.state import seconds


def lines(records: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """A line an attempt, the first first."""
    after = [*records[1:], {}]
    return ["Its attempts:", *(f"  {_line(one, successor, now)}" for one, successor in zip(records, after, strict=True))]


def _line(record: Mapping[str, Any], successor: Mapping[str, Any], now: datetime) -> str:
    started = time(record.get("started"))
    when = f"{started:%Y-%m-%d %H:%M}, " if started else ""
    status, cause, message = ended(record, successor)
    told = status + (f" ({cause})" if cause else "")
    at = (record.get("progress") or {}).get("step")
    told += f" at step {at}" if at is not None and status not in ("finished", "running") else ""
    told += f": {' '.join(message.split())}" if message and status != "finished" else ""
    ran = span((now - started).total_seconds() if status == "running" and started else seconds(record, status))
    return f"{record.get('attempt', '?')}. {record.get('host')}, {when}{ran}{_with(record)}: {told}"


def ended(record: Mapping[str, Any], successor: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """(status, cause, message) of an attempt; of one without a last word, what its successor's worker judged of it."""
    status, cause, message = str(record["status"]), record.get("cause"), record.get("message")
    judged = successor.get("previous") or {}
    if status == "running" and (successor or process_gone(record)):
        return "interrupted", judged.get("cause") or "killed", judged.get("message") or "it left no last word"
    return status, cause or (judged.get("cause") if status != "finished" else None), message or judged.get("message")


def _with(record: Mapping[str, Any]) -> str:
    """What it began with, and in whose company."""
    told = [f"from step {record['resumed_from_step']}"] if record.get("resumed_from_step") else []
    told += [f"micro-batch {record['micro_batch_size']}"] if record.get("micro_batch_size") else []
    others = company.others(record)
    told += [f"together with {company.named(others)}"] if others else []
    return f", {', '.join(told)}" if told else ""
