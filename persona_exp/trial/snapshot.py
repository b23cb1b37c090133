"""A copy of the code as it is now, uncommitted changes with it: what a job runs, whatever becomes of the working tree."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from persona_exp import files
from persona_exp.process import pid_namespace
from persona_exp.trial.attempt import node, process_gone
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
    staged = final.with_name(f"{_mark()}{os.getpid()}")
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


def _mark() -> str:
    """How the names of what processes of this host are making begin. Those of a container are numbered anew."""
    return f".{pid_namespace()}.{os.uname().nodename}."


def _clear_abandoned(snapshots: Path) -> None:
    """Remove what processes of this host left when they were killed; what may belong to one that cannot be seen from here stays."""
    for staged in snapshots.glob(f"{_mark()}*"):
        pid = staged.name.removeprefix(_mark())
        # Another process may have removed it first.
        with suppress(OSError):
            mine = pid == str(os.getpid())
            if mine or process_gone({"host": node(), "pid": pid, "uid": staged.stat().st_uid}):
                shutil.rmtree(staged, ignore_errors=True)
