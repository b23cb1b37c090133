"""Curves of a sweep's trials under names that a person reads: runs/sweeps/NAME/curves, for `tensorboard --logdir`."""

from contextlib import suppress
from pathlib import Path

from persona_exp.atomic_files import make_folder
from persona_exp.errors import UserError
from persona_exp.trial.recorded_sweep import SweepTrial, read_sweep

# Of a file system's 255 bytes, with room for an id.
LONGEST = 200


def link_curves(sweep_folder: Path) -> None:
    """Link the TensorBoard folder of each of the sweep's trials that has one."""
    runs = sweep_folder.absolute().parents[1]
    for one in read_sweep(runs, sweep_folder.name).trials:
        link_curve(sweep_folder, one)


def link_curve(sweep_folder: Path, trial: SweepTrial) -> None:
    """Link the TensorBoard folder of one trial, where there is one and no link yet."""
    target = Path("..", "..", "..", "trials", trial.trial_id, "tensorboard")
    curves = sweep_folder / "curves"
    if not (curves.parent.parent.parent / "trials" / trial.trial_id / "tensorboard").is_dir():
        return
    make_folder(curves)
    link = curves / link_name(trial.title)
    with suppress(FileExistsError):
        link.symlink_to(target, target_is_directory=True)
    if link.is_symlink() and link.readlink() != target:
        # Two titles may differ in signs alone that no file name has.
        with suppress(FileExistsError):
            link.with_name(f"{link.name} {trial.trial_id}").symlink_to(target, target_is_directory=True)


def link_name(title: str) -> str:
    """Return a trial's title as a file name: `lora.r=8 seed=1`."""
    plain = "".join(one if one.isprintable() and one != "/" else "_" for one in title)
    return plain.encode()[:LONGEST].decode(errors="ignore").strip(" .") or "trial"


def sweep_entry(runs: Path, sweep: str, trial_id: str) -> SweepTrial | None:
    """Return the trial as the sweep lists it; None where it lists none, as a search that is under way."""
    try:
        return next((one for one in read_sweep(runs, sweep).trials if one.trial_id == trial_id), None)
    except UserError:
        return None
