"""Where a trial's code came from. Provenance only: no part of its identity."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from persona_exp import files

ROOT = Path(__file__).parents[2]
CODE = ("persona_exp", "hydra_plugins", "conf", "run.py")
LOCK = "requirements.lock"


@cache
def code(root: Path = ROOT) -> dict[str, Any]:
    """The commit, whether it was changed since, and a digest of the files as they are, ignored ones left out."""
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "--", *CODE)
    if listed is None:
        names = sorted(_walk(root))
        commit, changed = None, None
    else:
        names = sorted(name for name in listed.splitlines() if (root / name).is_file())
        commit = (_git(root, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip() or None
        changed = bool(_git(root, "status", "--porcelain", "--", *CODE))
    return {"commit": commit, "changed": changed, "digest": files.digest({name: files.file_digest(root / name) for name in names})}


def lock(root: Path = ROOT) -> str | None:
    """SHA-256 of the lock file; None where the package is installed without it."""
    path = root / LOCK
    return files.file_digest(path) if path.is_file() else None


def _walk(root: Path) -> list[str]:
    paths = (path for name in CODE for path in [root / name, *(root / name).rglob("*")])
    return [path.relative_to(root).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts]


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None outside a repository or where git is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
