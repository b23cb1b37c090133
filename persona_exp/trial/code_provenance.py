"""Where a trial's code came from. Provenance only: no part of its identity."""

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.project_folders import ROOT, is_installed

CODE = ("persona_exp", "hydra_plugins", "analysis", "conf", "sweeps", "run.py", "requirements.lock")
LOCK = "requirements.lock"
# In a snapshot, which has no repository to ask: the commit it was made from. No part of the code, so outside its digest.
ORIGIN = "origin.json"


@cache
def code_provenance(root: Path = ROOT) -> dict[str, Any]:
    """Return the commit, whether it was changed since, and a digest of the files as they are, ignored ones left out.

    In a snapshot of the code it says the same as where the snapshot was made.
    """
    return {**_origin(root), "digest": code_digest(root)}


def code_digest(root: Path) -> str:
    """Return the digest (64 hex digits) over the code's files as they are now."""
    return atomic_files.digest({name: _digest_of(root / name) for name in code_files(root)})


def strays(snapshot: Path) -> list[str]:
    """Return what lies in a snapshot's folder and can be no part of the code: compiled files, links, what is beside the packages."""
    paths = {path.relative_to(snapshot).as_posix(): path for path in _below(snapshot)}
    foreign = (name for name in paths if name.split("/")[0] not in (*CODE, ORIGIN) or "__pycache__" in name or name.endswith(".pyc"))
    return list(dict.fromkeys([*sorted(foreign), *(name for name, path in paths.items() if path.is_symlink())]))


def foreign_files(snapshot: Path) -> list[str]:
    """Return what of a snapshot is not what its name, the beginning of its digest, stands for: all of it, unless only strays are added."""
    found = strays(snapshot)
    own = sorted({path.relative_to(snapshot).as_posix() for path in _below(snapshot)} - {ORIGIN, *found})
    whole = atomic_files.digest({name: _digest_of(snapshot / name) for name in own}).startswith(snapshot.name)
    return found if whole else sorted([ORIGIN, *own, *found])


def _digest_of(path: Path) -> str:
    # In a snapshot a link may lead to what a user changes later.
    return atomic_files.file_digest(path) if path.is_file() and not path.is_symlink() else "no plain file"


def code_files(root: Path = ROOT) -> list[str]:
    """Return the code's files by their POSIX path below `root`, sorted.

    In a repository they are those that git does not ignore, in a snapshot or a tree without git all, in site-packages those that the wheel
    brought. Raise UserError where nothing says which those are.
    """
    if (root / ORIGIN).exists():
        # A snapshot is all that lies in its folder: whatever was added to it would be imported too.
        return sorted(path.relative_to(root).as_posix() for path in _below(root) if path != root / ORIGIN)
    if is_installed(root):
        return _of_wheel(root)
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *CODE)
    # A tree may lie in the ignored folder of some repository, which lists nothing of it.
    return sorted(name for name in listed.split("\0") if name and (root / name).is_file()) if listed else sorted(_walk(root))


def lock(root: Path = ROOT) -> str | None:
    """Return the SHA-256 of the lock file; None where the package is installed without it."""
    path = root / LOCK
    return atomic_files.file_digest(path) if path.is_file() and not is_installed(root) else None


def _origin(root: Path) -> dict[str, Any]:
    if (root / ORIGIN).is_file():
        origin: dict[str, Any] = json.loads((root / ORIGIN).read_text(encoding="utf-8"))
        return origin
    if is_installed(root) or not _git(root, "ls-files", "--", *CODE):
        return {"commit": None, "changed": None}
    commit = (_git(root, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
    return {"commit": commit, "changed": bool(_git(root, "status", "--porcelain", "--", *CODE))}


def _of_wheel(root: Path) -> list[str]:
    """Return what pip's list has of the packages: other wheels put files beside them, into folders of the same name too."""
    listed = [path.as_posix() for found in distributions(name="persona-exp", path=[str(root)]) for path in found.files or ()]
    names = sorted(name for name in set(listed) if name.split("/")[0] in CODE and "__pycache__" not in name and (root / name).is_file())
    if not names:
        raise UserError(f"No list says which files in {root} are of persona-exp: install it with pip, which writes one (RECORD).")
    return names


def _walk(root: Path) -> list[str]:
    paths = (path for name in CODE for path in [root / name, *(root / name).rglob("*")])
    return [path.relative_to(root).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts]


def _below(folder: Path) -> Iterator[Path]:
    """Yield all that is no folder, links to folders among it."""
    for current, names, files in os.walk(folder):
        place = Path(current)
        yield from (place / name for name in files)
        yield from (place / name for name in names if (place / name).is_symlink())


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints; None outside a repository or where git is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
