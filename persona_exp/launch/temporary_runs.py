"""Where a dry run seals and builds: a temporary folder that shows all that is in runs/, and is gone afterwards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from persona_exp.errors import UserError
from persona_exp.trial.trial_directory import TrialDirectory

# What sealing and building write into is a folder of its own, "*" being each one there; all else is a link to what is there.
WRITTEN: Mapping[str, Any] = {"trials": {}, "data": {"*": {"tokens": {"*": {}}}}, "code": {}}
WRITTEN_OF_TRIAL: Mapping[str, Any] = {"seals": {}}


@contextmanager
def temporary_runs(runs: Path) -> Iterator[Path]:
    """Yield a folder in which all of `runs` is found, and whatever is built there is gone afterwards; `runs` stays as it is.

    A trial there is a link, of which `own_trial` makes a folder before it is sealed: of twenty thousand few are asked for. A UserError
    raised meanwhile names `runs`, where it would name that folder.
    """
    with TemporaryDirectory(prefix="persona-exp-dry-run-") as folder:
        shown = Path(folder).absolute() / "runs"
        _show(runs.absolute(), shown, WRITTEN)
        try:
            yield shown
        except UserError as error:
            if str(shown) not in str(error):
                raise
            raise type(error)(str(error).replace(str(shown), str(runs))) from None


def own_trial(trial: TrialDirectory) -> None:
    """Make the trial a folder of the dry run's own, in which all that was sealed and came of it is found."""
    if trial.path.is_symlink():
        source = trial.path.readlink()
        trial.path.unlink()
        _show(source, trial.path, WRITTEN_OF_TRIAL)


def _show(source: Path, shown: Path, written: Mapping[str, Any]) -> None:
    """Make `shown` a folder of links to what is in `source`, but for the folders in `written`, of which the same is made in turn."""
    shown.mkdir()
    try:
        found = os.scandir(source)
    except FileNotFoundError:
        return
    with found as entries:
        for entry in entries:
            below = written.get(entry.name, written.get("*"))
            if entry.name.startswith("."):
                # Locks, and what another process is writing at this moment.
                continue
            if below is not None and entry.is_dir() and os.access(entry, os.R_OK | os.X_OK):
                _show(Path(entry.path), shown / entry.name, below)
            else:
                os.symlink(entry.path, f"{shown}/{entry.name}")  # noqa: PTH211 (20,000 of them)
