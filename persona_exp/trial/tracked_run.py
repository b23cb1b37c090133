"""A trial in a tracker: the group, tags and settings with which it is shown, and where its curves lie."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.curve_links import link_curve, link_name, sweep_entry
from persona_exp.trial.evaluate_trial import owed_evaluations
from persona_exp.trial.recorded_evaluations import read_evaluation
from persona_exp.trial.recorded_sweep import SweepTrial
from persona_exp.trial.runs_reader import read_log

if TYPE_CHECKING:
    from persona_exp.training.experiment_trackers import Tracker

# The sweep that a worker works on, for its training process alone: a sealed trial knows of none, and may be part of several.
SWEEP_VARIABLE = "PERSONA_EXP_SWEEP"

# The final figures in TensorBoard's table of hyperparameters.
HEADLINES = ("perplexity", "bits_per_byte", "rougeL")

# Settings by which runs are compared.
COMPARED = ("data", "model", "method", "lora", "optim", "train", "engine", "seed")


def open_trial_tracker(trial: ClaimedTrial, step: int) -> "Tracker":
    """Open the tracker that the trial's config asks for; its attempt goes on from optimiser step `step`. No tracker fails a trial.

    The group is the sweep whose worker first took up the trial; without one, persona and data. It is on record in the attempt, and later
    attempts keep it."""
    from persona_exp.training.experiment_trackers import NoTracker, TrackedRun, open_tracker

    config, name = trial.config, trial.config.tracker.name
    if name == "none":
        return NoTracker()
    group, entry = _group(trial), _sweep_entry(trial)
    shown = _name(trial, entry)
    trial.attempt.note(tracker_group=group, tracker_name=shown)
    settings = asdict(config)
    run = TrackedRun(
        trial_id=trial.directory.trial_id,
        project=config.tracker.project,
        group=group,
        tags=(config.persona.name, config.model.name, config.method.name, config.engine.name),
        config={**settings, "trial_id": trial.directory.trial_id, "data_id": trial.data_id},
        hyperparameters={"persona.name": config.persona.name, **dict(_scalars({key: settings[key] for key in COMPARED}))},
        name=shown,
        figures=tuple(f"{config.evaluation.split}/{metric}" for metric in HEADLINES),
    )
    try:
        folder = _tensorboard_folder(trial, group, entry) if name == "tensorboard" else trial.attempt.folder
        return open_tracker(name, run, folder, step, [line for line in _log(trial) if line["step"] <= step])
    except (OSError, UserError) as failure:
        print(f"Trial {run.trial_id}: tracker={name} cannot be used ({failure}).", file=sys.stderr, flush=True)
        return NoTracker()


def close_tracker(trial: ClaimedTrial, tracker: "Tracker | None", code: int) -> None:
    """Send the final figures of a trial that has finished (code 0), and end the tracker's run with its exit code.

    Without a `tracker`, where nothing was trained, one is opened for what was measured. What goes wrong there is said and is no trouble of
    the trial's.
    """
    try:
        figures = final_figures(trial) if code == 0 and trial.config.tracker.name != "none" else {}
        if tracker is None and not figures:
            return
        step = last_step(trial)
        tracker = tracker or open_trial_tracker(trial, step)
        if figures:
            tracker.final(step, figures)
        tracker.close(code)
    except Exception as failure:
        print(f"The tracker of trial {trial.directory.trial_id} could not be closed: {failure}", file=sys.stderr, flush=True)


def final_figures(trial: ClaimedTrial) -> dict[str, float]:
    """Return what came out in the end: `final/loss`, `final/best_eval_loss`, and `test/perplexity` … of each evaluation that it owes,
    of a base model with the condition between."""
    found: dict[str, float] = {}
    log = _log(trial)
    for name in ("loss", "eval_loss"):
        values = [float(line[name]) for line in log if line.get(name) is not None]
        found |= {f"final/{name}": values[-1]} if values else {}
    best = (trial.attempt.record.get("validation") or {}).get("best_eval_loss")
    found |= {"final/best_eval_loss": best} if best is not None else {}
    for owed in owed_evaluations(trial.config, trial.directory.trial_id, trial.data_id):
        one = read_evaluation(trial.directory.runs, trial.directory.trial_id, owed.eval_id)
        if one is not None:
            place = one.split if one.condition == "adapter" else f"{one.split}/{one.condition}"
            found |= {f"{place}/{name}": float(metric["value"]) for name, metric in one.metrics.items()}
    return found


def last_step(trial: ClaimedTrial) -> int:
    """Return the last optimiser step that any attempt logged; 0 where none did."""
    return max((int(line["step"]) for line in _log(trial)), default=0)


def refuse_unusable_trackers(names: Iterable[str]) -> None:
    """Raise UserError where one of these trackers is not installed or, asked to be online, cannot be: before anything is run."""
    # A name that is none of ours is refused where the config is checked.
    for name in {"tensorboard", "wandb"} & set(names):
        if find_spec(name) is None:
            raise UserError(f"tracker={name} is not installed here: run `pip install {name}`, or leave tracker={name} out.")
        if name == "wandb":
            from persona_exp.training.wandb_server import refuse_unusable

            refuse_unusable()


def _log(trial: ClaimedTrial) -> list[dict[str, Any]]:
    return read_log([path.with_suffix("") for path in attempt_files(trial.directory.path)])


def _sweep_entry(trial: ClaimedTrial) -> SweepTrial | None:
    sweep = os.environ.get(SWEEP_VARIABLE)
    return sweep_entry(trial.directory.runs, sweep, trial.directory.trial_id) if sweep else None


def _name(trial: ClaimedTrial, entry: SweepTrial | None) -> str:
    """Return the name that the first attempt was shown under, else that of the sweep's row, else persona and method; with the id."""
    records = (read_record(path) for path in attempt_files(trial.directory.path))
    before = next((str(record["tracker_name"]) for record in records if record.get("tracker_name")), None)
    title = entry.title if entry else f"{trial.config.persona.name} {trial.config.method.name}"
    return before or f"{link_name(title)} ({trial.directory.trial_id})"


def _group(trial: ClaimedTrial) -> str:
    records = (read_record(path) for path in attempt_files(trial.directory.path))
    before = next((str(record["tracker_group"]) for record in records if record.get("tracker_group")), None)
    persona = re.sub(r"[^\w.-]+", "-", trial.config.persona.name).strip("-.")
    return before or os.environ.get(SWEEP_VARIABLE) or f"{persona}-{trial.data_id}"


def _tensorboard_folder(trial: ClaimedTrial, group: str, entry: SweepTrial | None) -> Path:
    """Return the trial's folder of events, reached by its group too, `tensorboard --logdir runs/tensorboard/GROUP`, and by its title in the
    sweep, `runs/sweeps/NAME/curves`."""
    folder = trial.directory.path / "tensorboard"
    folder.mkdir(exist_ok=True)
    if entry:
        link_curve(trial.directory.runs / "sweeps" / os.environ[SWEEP_VARIABLE], entry)
    link = trial.directory.runs / "tensorboard" / group / trial.directory.trial_id
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(Path("..", "..", "trials", trial.directory.trial_id, folder.name), target_is_directory=True)
    return folder


def _scalars(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{key}", value
        elif isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(str, value))
