"""The trials of a bundle, for a reader."""

from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.trial.trial_status import TrialStatus

# So many of a bundle's other trials are named.
NAMED_TRIALS = 3


def bundled_with(record: Mapping[str, Any]) -> list[str]:
    """Return the ids of the trials that an attempt runs or ran together with."""
    return list(record.get("together_with") or ())


def joined_ids(trial_ids: Sequence[str]) -> str:
    """Return `aaaaaaaaaaaa and bbbbbbbbbbbb`; of many, the first and how many more there are."""
    more = len(trial_ids) - NAMED_TRIALS
    *first, last = [*trial_ids[:NAMED_TRIALS], *([f"{more} more"] if more > 0 else [])]
    return f"{', '.join(first)} and {last}" if first else last


def bundle_numbers(states: Sequence[TrialStatus]) -> dict[str, int]:
    """Return the number of each running trial's bundle by the trial's id, from 1 in the order of `states`; a trial alone has none.

    One process runs one bundle: which trials a trial has met there depends on when it was admitted.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    found = {}
    for state in states:
        record = state.record
        if state.status == "running" and bundled_with(record):
            process = (record.get("host"), record.get("pid"), record.get("process_started"))
            found[state.trial_id] = numbers.setdefault(process, len(numbers) + 1)
    return found
