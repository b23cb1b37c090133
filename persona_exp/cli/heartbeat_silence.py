"""How long an attempt's heartbeat has been silent, for a reader.

Read off the time at which its file was last written: clocks of file servers differ from ours by little enough for that. What is done
about a silent attempt is decided by workers, on their own clocks alone (launch/recovery/heartbeat_lease.py).
"""

from pathlib import Path

from persona_exp.trial.trial_status import HEARTBEAT_SECONDS, TrialStatus

# So many beats may be missed before it is reported.
LATE_BEATS = 6


def heartbeat_age(trial_folder: Path, state: TrialStatus, now: float) -> float:
    """Return the seconds at `now` (since 1970) since the last attempt last wrote its record."""
    return max(0.0, now - (trial_folder / "attempts" / f"{state.attempt:04}.json").stat().st_mtime)


def heartbeat_period(state: TrialStatus) -> float:
    """Return the seconds from one beat to the next."""
    return float(state.record.get("heartbeat_seconds") or HEARTBEAT_SECONDS)


def heartbeat_silence(trial_folder: Path, state: TrialStatus, now: float) -> float | None:
    """Return how long (s) a running attempt has been silent, None while it beats in time."""
    if state.status != "running":
        return None
    seconds = heartbeat_age(trial_folder, state, now)
    return seconds if seconds > LATE_BEATS * heartbeat_period(state) else None
