"""The nodes that failed under a sweep: one empty file for each failure, so that counting reads no trials."""

from pathlib import Path

# A node that failed so often under one sweep is kept out of the way of its jobs.
TWICE = 2


def note_failed_node(sweep_folder: Path, host: str, trial_id: str, attempt: int) -> None:
    """Remember that `host` failed under this attempt."""
    folder = _nodes(sweep_folder) / host
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{trial_id}-{attempt:04}").touch()


def failed_twice(sweep_folder: Path) -> list[str]:
    """The hosts to keep the sweep's jobs away from."""
    return sorted(path.name for path in _nodes(sweep_folder).glob("*") if len(list(path.iterdir())) >= TWICE)


def _nodes(sweep_folder: Path) -> Path:
    return sweep_folder / "failed-nodes"
