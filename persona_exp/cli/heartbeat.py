"""How long an attempt's heartbeat has been silent, for a person's eye.

Read off the time at which its file was last written: clocks of file servers differ from ours by little enough for that. What is done
about a silent attempt is decided by workers, on their own clocks alone (launch/judgement/observer.py).
"""

from pathlib import Path

from persona_exp.trial.state import HEARTBEAT_SECONDS, State

# So many counts may be missed before anyone is told.
LATE_BEATS = 6


def age(trial_folder: Path, state: State, now: float) -> float:
    """Seconds at `now` (since 1970) since the last attempt last wrote its record."""
    return max(0.0, now - (trial_folder / "attempts" / f"{state.attempt:04}.json").stat().st_mtime)


def every(state: State) -> float:
    """Seconds from one beat to the next."""
    return float(state.record.get("heartbeat_seconds") or HEARTBEAT_SECONDS)


def silent(trial_folder: Path, state: State, now: float) -> float | None:
    """How long (s) a running attempt has been silent, None while it beats in time."""
    if state.status != "running":
        return None
    seconds = age(trial_folder, state, now)
    return seconds if seconds > LATE_BEATS * every(state) else None
