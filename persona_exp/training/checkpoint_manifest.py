"""A checkpoint's manifest: the SHA-256 sums of its files, by which damage is found."""

import json
import re
from pathlib import Path

from persona_exp import atomic_files

MANIFEST = "manifest.json"
# Of a checkpoint that is published.
NAME = re.compile(r"step-(\d{8})$")


def write_manifest(folder: Path, *, step: int, run: str) -> None:
    """Write the manifest of the checkpoint in `folder`, of `step` of `run`."""
    manifest = {"step": step, "run": run, "files": atomic_files.tree_digests(folder)}
    atomic_files.write_json(folder / MANIFEST, {**manifest, "manifest": atomic_files.digest(manifest)})


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, in words; None when every file is as it was saved."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        own = manifest.pop("manifest")
        if atomic_files.digest(manifest) != own:
            return f"{MANIFEST} is not what was saved"
    except OSError as error:
        return f"{MANIFEST} is missing" if isinstance(error, FileNotFoundError) else f"{MANIFEST} cannot be read ({error})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is not what was saved"
    expected, step = manifest["files"], manifest["step"]
    named = NAME.fullmatch(checkpoint.name)
    if named and step != int(named[1]):
        return f"it is of step {step}"
    try:
        found = atomic_files.tree_digests(checkpoint)
    except OSError as error:
        return f"it cannot be read ({error})"
    del found[MANIFEST]
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} is {'missing' if name not in found else 'not what was saved'}"
    return None


def manifest_step(checkpoint: Path) -> int | None:
    """Return the optimiser step that a folder of any name holds, by its manifest; None where that cannot be read."""
    try:
        return int(json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
