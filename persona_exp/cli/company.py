"""Who travels with whom: trials of a bundle, for a person's eye."""

from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.trial.state import State

# So many of a bundle's other trials are named.
NAMED = 3


def others(record: Mapping[str, Any]) -> list[str]:
    """The trials that an attempt runs or ran together with, by id."""
    return list(record.get("together_with") or ())


def named(trial_ids: Sequence[str]) -> str:
    """`aaaaaaaaaaaa and bbbbbbbbbbbb`; of many, the first and how many more there are."""
    more = len(trial_ids) - NAMED
    *first, last = [*trial_ids[:NAMED], *([f"{more} more"] if more > 0 else [])]
    return f"{', '.join(first)} and {last}" if first else last


def bundles(states: Sequence[State]) -> dict[str, int]:
    """The bundle of each trial that runs in company, by the trial's id; bundles are numbered from 1 in the order of `states`.

    One process runs one bundle: whom a trial has met there depends on when it came.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    found = {}
    for state in states:
        record = state.record
        if state.status == "running" and others(record):
            process = (record.get("host"), record.get("pid"), record.get("process_started"))
            found[state.trial_id] = numbers.setdefault(process, len(numbers) + 1)
    return found
