"""runs/latest, a link to the newest sweep's folder: replaced in one step, so that of several launchers one is the newest."""

import os
import sys
import threading
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.project_folders import LATEST
from persona_exp.trial.forgotten_sweep import known_and_forgotten
from persona_exp.trial.recorded_sweep import read_sweep


def is_missing(runs: Path) -> bool:
    """Return whether nothing of that name is there."""
    return not os.path.lexists(runs / LATEST)


def lead_to(sweep_folder: Path) -> None:
    """Let runs/latest lead to a sweep. Where it cannot, that is said, and the sweep goes on."""
    link = sweep_folder.parent.parent / LATEST
    staged = link.with_name(f".{LATEST}.{os.uname().nodename}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        staged.unlink(missing_ok=True)
        # Relative, so that it holds wherever runs/ is mounted.
        staged.symlink_to(Path(sweep_folder.parent.name) / sweep_folder.name)
        staged.replace(link)
    except OSError as error:
        staged.unlink(missing_ok=True)
        print(f"{link} does not lead to the newest sweep ({error.strerror}): move away what is there.", file=sys.stderr)


def lead_to_newest(runs: Path) -> None:
    """Let runs/latest lead to the newest sweep that is not forgotten; without one it goes."""
    link = runs / LATEST
    if not link.is_symlink() and not is_missing(runs):
        return
    created = {}
    for name in known_and_forgotten(runs)[0]:
        try:
            created[name] = read_sweep(runs, name).created
        except UserError:
            # Damaged: nobody knows when it was made.
            continue
    if created:
        lead_to(runs / "sweeps" / max(created, key=lambda name: created[name]))
    else:
        link.unlink(missing_ok=True)
