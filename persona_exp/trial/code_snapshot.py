"""A copy of the code as it is now, uncommitted changes with it: what a job runs, whatever becomes of the working tree."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.process_identity import node_name, pid_namespace, process_gone
from persona_exp.project_folders import ROOT
from persona_exp.trial.code_provenance import ORIGIN, code_digest, code_files, code_provenance

DIGITS = 12

# Where the code was edited between reading and copying it, its copy has another name than the one looked for.
_renamed: dict[tuple[Path, str], Path] = {}


def snapshot(runs: Path, root: Path = ROOT) -> Path:
    """Make and return `runs/code/<12 hex digits>`: the files that `code_files` lists, read-only. The first of several wins.

    It is named after what was copied, also where a user edits the code at that moment.
    """
    identity = code_provenance(root)
    key = (runs.absolute(), identity["digest"])
    final = _renamed.get(key, code_folder(runs, identity["digest"]))
    if final.is_dir():
        return final
    _clear_abandoned(final.parent)
    staged = final.with_name(f"{_mark()}{os.getpid()}")
    atomic_files.make_folder(staged)
    try:
        for name in code_files(root):
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            # Folders stay writable: a person may remove the whole.
            target.chmod(0o444)
        origin = {key: identity[key] for key in ("commit", "changed")}
        atomic_files.write_json(staged / ORIGIN, origin)
        (staged / ORIGIN).chmod(0o444)
        final = _renamed[key] = code_folder(runs, code_digest(staged))
        atomic_files.publish(staged, final)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return final


def code_folder(runs: Path, digest: str) -> Path:
    """Return where the snapshot of the code with this digest is."""
    return runs / "code" / digest[:DIGITS]


def _mark() -> str:
    """Return how the names of what processes of this host are making begin. Those of a container are numbered anew."""
    return f".{pid_namespace()}.{os.uname().nodename}."


def _clear_abandoned(snapshots: Path) -> None:
    """Remove what processes of this host left when they were killed; what may belong to one that cannot be seen from here stays."""
    for staged in snapshots.glob(f"{_mark()}*"):
        pid = staged.name.removeprefix(_mark())
        # Another process may have removed it first.
        with suppress(OSError):
            mine = pid == str(os.getpid())
            if mine or process_gone({"host": node_name(), "pid": pid, "uid": staged.stat().st_uid}):
                shutil.rmtree(staged, ignore_errors=True)
