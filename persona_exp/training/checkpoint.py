"""Checkpoints that are whole or absent.

A checkpoint is staged beside its place, its files' SHA-256 sums are written last, and it is renamed to `step-00000040`; whatever the
moment of a kill, a folder of that name is complete, and every byte is verified before it is used.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from persona_exp import files

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8})$")

log = logging.getLogger(__name__)


def save(staged: Path, checkpoints: Path, *, step: int, keep: int) -> Path:
    """Publish the folder `staged` as the checkpoint of `step`, then keep only the newest `keep` in `checkpoints`."""
    files.write_json(staged / MANIFEST, {"step": step, "files": files.tree_digests(staged)})
    final = checkpoints / f"step-{step:08}"
    files.publish(staged, final)
    for old in sorted(_named(checkpoints))[:-keep]:
        shutil.rmtree(old)
    return final


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when every file is as it was saved."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        expected = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"its manifest cannot be read ({error})"
    found = files.tree_digests(checkpoint)
    del found[MANIFEST]
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} is {'missing' if name not in found else 'not what was saved'}"
    return None


def adopt(folders: Iterable[Path], destination: Path) -> Path | None:
    """A verified copy of the newest whole checkpoint, as `destination/step-…`, or None where there is none.

    The copy is verified, not the original: an attempt that was thought dead may wake up and clear its own away.
    """
    for checkpoint in _newest_first(folders):
        copy = destination / checkpoint.name
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(checkpoint, copy)
        except (OSError, shutil.Error) as error:
            log.warning("The checkpoint %s cannot be copied (%s). The one before it is taken.", checkpoint, error)
            continue
        if newest([destination]) == copy:
            return copy
        shutil.rmtree(copy)
    return None


def newest(folders: Iterable[Path]) -> Path | None:
    """The whole checkpoint of the highest step in any of `folders`; damaged ones are passed over with a warning."""
    for checkpoint in _newest_first(folders):
        reason = damage(checkpoint)
        if reason is None:
            return checkpoint
        log.warning("The checkpoint %s is damaged: %s. The one before it is taken.", checkpoint, reason)
    return None


def step_of(checkpoint: Path) -> int:
    """The optimiser step a checkpoint was saved after."""
    match = _NAME.search(checkpoint.name)
    assert match, checkpoint
    return int(match[1])


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    candidates = [checkpoint for folder in folders for checkpoint in _named(folder)]
    return sorted(candidates, key=lambda path: (path.name, path.parent), reverse=True)


def _named(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
