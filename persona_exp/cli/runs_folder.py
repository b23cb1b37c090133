"""The folder of all results, and the trials in it."""

import os
from pathlib import Path

from persona_exp.trial.folder_ids import is_id


def runs_folder() -> Path:
    """Return $PERSONA_EXP_RUNS, else runs/ of the working directory."""
    return Path(os.environ.get("PERSONA_EXP_RUNS") or "runs")


def trial_ids(runs: Path) -> list[str]:
    """Return the ids of all trials that were sealed under `runs`, sorted."""
    try:
        return sorted(name for name in os.listdir(runs / "trials") if is_id(name))  # noqa: PTH208 (1,000 of them)
    except FileNotFoundError:
        return []
