"""Checkpoints that are whole or absent: saved, adopted by a later attempt, set aside where damaged.

A checkpoint is staged beside its place, its manifest is written last, and it is renamed to `step-00000040`; whatever the
moment of a kill, a folder of that name is complete, and every byte is verified before it is used.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.training import checkpoint_disk_space
from persona_exp.training.checkpoint_manifest import MANIFEST, NAME, damage, write_manifest

STAGING = ".staging"
DAMAGED = "damaged-"

# A checkpoint that takes longer (s) than the first of these is made only when that many times as long as it takes has gone by.
BRIEF, APART = 1.0, 20

log = logging.getLogger(__name__)


def checkpoint_path(checkpoints: Path, step: int) -> Path:
    """Return where the checkpoint of `step` is published."""
    return checkpoints / f"step-{step:08}"


def save(staged: Path, checkpoints: Path, *, step: int, keep: int, run: str = "") -> Path:
    """Publish the folder `staged` as the checkpoint of `step`, then keep only the newest `keep` in `checkpoints`.

    `run` names the run that it belongs to, which `adopt` asks for. Where that step is there already, `staged` is dropped: its bits
    are the same. Raise DiskFull when the disk is full; then `staged` is gone and the checkpoints before are as they were.
    """
    try:
        write_manifest(staged, step=step, run=run)
        final = checkpoint_path(checkpoints, step)
        atomic_files.publish(staged, final)
    except OSError as error:
        full = checkpoint_disk_space.explain(error, checkpoints, f"the checkpoint of step {step}")
        shutil.rmtree(staged, ignore_errors=True)
        if full is None:
            raise
        raise full from error
    for old in sorted(_named(checkpoints))[:-keep]:
        remove(old)
    return final


def adopt(
    folders: Iterable[Path],
    destination: Path,
    *,
    expected_step: int | None,
    chosen: Path | None = None,
    run: str | None = None,
    keep: int | None = None,
    at_most: int | None = None,
) -> Path | None:
    """Return a verified copy of the newest whole checkpoint in `folders`, as `destination/step-…`, or None where none was ever saved.

    A damaged one is renamed to `damaged-step-…`, with a warning, and the one before is taken. The copy is verified, not the original:
    an attempt that was thought dead may wake up and clear its own away. `expected_step` is the highest that was recorded as saved.
    `chosen` is a checkpoint named by hand, which alone will do. `run` must be the run that the checkpoint was saved for. With `keep`,
    once a copy is safe the older checkpoints of `folders` go but for that many, and so do saves that were cut short. With `at_most` none
    after that step is taken.

    Raise UserError where checkpoints were saved but none is whole, or the chosen one is not; DiskFull where a copy has no room.
    """
    folders = list(folders)
    if chosen is not None:
        return _adopt_chosen(chosen, destination, run)
    candidates = [one for one in _newest_first(folders) if at_most is None or step_of(one) <= at_most]
    for checkpoint in candidates:
        copy = _verified_copy(checkpoint, destination)
        if copy is None:
            continue
        step = step_of(copy)
        if expected_step is not None and step < expected_step:
            log.warning("No whole checkpoint of step %d is left: the run goes on from step %d.", expected_step, step)
        if keep is not None:
            _thin(folders, keep)
        return copy
    set_aside = [path for folder in folders for path in folder.glob(f"{DAMAGED}*")]
    if candidates or set_aside or expected_step is not None:
        last = f"its last was of step {expected_step}" if expected_step is not None else "all that there were are damaged"
        raise UserError(
            f"No whole checkpoint of {run or 'this trial'} is left ({last}): give `persona-exp retry {run or 'TRIAL'} --from-scratch` "
            "to train it anew."
        )
    return None


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step that a checkpoint was saved after."""
    match = NAME.search(checkpoint.name)
    assert match, checkpoint
    return int(match[1])


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint; it loses its name first, so that a kill half-way leaves none that seems damaged."""
    dropped = checkpoint.with_name(f".dropped-{checkpoint.name}")
    shutil.rmtree(dropped, ignore_errors=True)
    try:
        checkpoint.rename(dropped)
    except FileNotFoundError:
        return
    shutil.rmtree(dropped, ignore_errors=True)


def due(step: int, ago: float, *, every_steps: int, every_minutes: float) -> bool:
    """Return whether a checkpoint is due after `step`, `ago` (s) after the last one."""
    return step % every_steps == 0 or ago > every_minutes * 60


def affordable(duration: float, ago: float) -> bool:
    """Return whether another may be saved `ago` (s) after one that took `duration` (s): all but the briefest shall take no more than a
    twentieth of a run."""
    return duration <= BRIEF or ago >= APART * duration


def _adopt_chosen(chosen: Path, destination: Path, run: str | None) -> Path:
    reason = damage(chosen)
    if reason is None:
        manifest = json.loads((chosen / MANIFEST).read_text(encoding="utf-8"))
        saved_for = manifest.get("run")
        if run and saved_for and saved_for != run:
            reason = f"it was saved for {saved_for}, not for {run}"
    if reason is None:
        copy = checkpoint_path(destination, int(manifest["step"]))
        _copy(chosen, copy)
        reason = damage(copy)
        if reason is None:
            return copy
        shutil.rmtree(copy)
    raise UserError(f"RESUME_CHECKPOINT={chosen} cannot be gone on from, {reason}: name another checkpoint, or none to take the newest.")


def _verified_copy(checkpoint: Path, destination: Path) -> Path | None:
    """Return the copy, or None when the checkpoint is damaged (then it is set aside) or has gone meanwhile."""
    copy = destination / checkpoint.name
    try:
        _copy(checkpoint, copy)
    except checkpoint_disk_space.DiskFull:
        raise
    except (OSError, shutil.Error) as error:
        shutil.rmtree(copy, ignore_errors=True)
        reason: str | None = f"it cannot be copied ({error})"
    else:
        reason = damage(copy)
        if reason is None:
            return copy
        shutil.rmtree(copy)
    if damage(checkpoint) is not None:
        _set_aside(checkpoint, str(reason))
    else:
        log.warning("The checkpoint %s cannot be taken: %s. The one before it is taken.", checkpoint, reason)
    return None


def _set_aside(checkpoint: Path, reason: str) -> None:
    aside = checkpoint.with_name(f"{DAMAGED}{checkpoint.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        checkpoint.rename(aside)
    except OSError as error:
        log.warning("The checkpoint %s is damaged, %s, and cannot be renamed (%s). The one before it is taken.", checkpoint, reason, error)
        return
    log.warning("The checkpoint %s is damaged, %s. It is kept as %s and the one before it is taken.", checkpoint, reason, aside.name)


def _copy(checkpoint: Path, copy: Path) -> None:
    """Copy by hard links where the file system allows, which take no room: a checkpoint's files are never written again."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(checkpoint, copy, copy_function=_link)
    except (OSError, shutil.Error) as error:
        full = checkpoint_disk_space.explain(error, copy.parent, f"the copy of {checkpoint.name}")
        if full is None:
            raise
        shutil.rmtree(copy, ignore_errors=True)
        raise full from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _thin(folders: Sequence[Path], keep: int) -> None:
    for old in _newest_first(folders)[keep:]:
        remove(old)
    for folder in folders:
        for left in (folder / STAGING, *folder.glob(".dropped-*")):
            shutil.rmtree(left, ignore_errors=True)


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    candidates = [checkpoint for folder in folders for checkpoint in _named(folder)]
    return sorted(candidates, key=lambda path: (path.name, path.parent), reverse=True)


def _named(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if NAME.fullmatch(path.name)]
