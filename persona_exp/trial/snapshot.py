"""A copy of the code as it is now, uncommitted changes with it: what a job runs, whatever becomes of the working tree."""

import os
import shutil
from pathlib import Path

from persona_exp import files
from persona_exp.trial.provenance import ORIGIN, ROOT, code, code_digest, code_files

DIGITS = 12

# Where the code was edited between reading and copying it, its copy has another name than the one looked for.
_renamed: dict[tuple[Path, str], Path] = {}


def snapshot(runs: Path, root: Path = ROOT) -> Path:
    """`runs/code/<12 hex digits>`: the files of the code that git does not ignore, read-only. Made once; the first of several wins.

    It is named after what was copied, also where somebody edits the code at that moment.
    """
    identity = code(root)
    wanted = (runs.absolute(), identity["digest"])
    final = _renamed.get(wanted, code_folder(runs, identity["digest"]))
    if final.is_dir():
        return final
    _clear_abandoned(final.parent)
    staged = final.with_name(f".{os.uname().nodename}.{os.getpid()}")
    staged.mkdir(parents=True)
    try:
        for name in code_files(root):
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            # Folders stay writable: Python keeps its compiled files there, and a person may remove the whole.
            target.chmod(0o444)
        origin = {key: identity[key] for key in ("commit", "changed")}
        files.write_json(staged / ORIGIN, origin)
        (staged / ORIGIN).chmod(0o444)
        final = _renamed[wanted] = code_folder(runs, code_digest(staged))
        files.publish(staged, final)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return final


def code_folder(runs: Path, digest: str) -> Path:
    """Where the snapshot of the code with this digest is."""
    return runs / "code" / digest[:DIGITS]


def _clear_abandoned(snapshots: Path) -> None:
    """Remove what other processes of this host left when they were killed."""
    for staged in snapshots.glob(f".{os.uname().nodename}.*"):
        if not Path(f"/proc/{staged.suffix[1:]}").exists():
            shutil.rmtree(staged, ignore_errors=True)
