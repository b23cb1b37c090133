"""A trial in a tracker: the group, tags and settings with which it is shown, and where its curves lie."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.claimed_trial import ClaimedTrial

if TYPE_CHECKING:
    from persona_exp.training.experiment_trackers import Tracker

# The sweep that a worker works on, for its training process alone: a sealed trial knows of none, and may be part of several.
SWEEP_VARIABLE = "PERSONA_EXP_SWEEP"

# Settings by which runs are compared.
COMPARED = ("data", "model", "method", "lora", "optim", "train", "engine", "seed")


def open_trial_tracker(trial: ClaimedTrial, step: int) -> "Tracker":
    """Open the tracker that the trial's config asks for; its attempt goes on from optimiser step `step`.

    The group is the sweep whose worker first took up the trial; without one, persona and data. It is on record in the attempt, and later
    attempts keep it. Raise UserError where the tracker cannot be opened.
    """
    from persona_exp.training.experiment_trackers import NoTracker, TrackedRun, open_tracker

    config, name = trial.config, trial.config.tracker.name
    if name == "none":
        return NoTracker()
    group = _group(trial)
    trial.attempt.note(tracker_group=group)
    settings = asdict(config)
    run = TrackedRun(
        trial_id=trial.directory.trial_id,
        project=config.tracker.project,
        group=group,
        tags=(config.persona.name, config.model.name, config.method.name, config.engine.name),
        config={**settings, "trial_id": trial.directory.trial_id, "data_id": trial.data_id},
        hyperparameters={"persona.name": config.persona.name, **dict(_scalars({key: settings[key] for key in COMPARED}))},
    )
    return open_tracker(name, run, _tensorboard_folder(trial, group) if name == "tensorboard" else trial.attempt.folder, step)


def close_tracker(trial: ClaimedTrial, tracker: "Tracker", code: int) -> None:
    """End the tracker's run with the trial's exit code; what goes wrong there is said and is no trouble of the trial's."""
    try:
        tracker.close(code)
    except Exception as failure:
        print(f"The tracker of trial {trial.directory.trial_id} could not be closed: {failure}", file=sys.stderr, flush=True)


def _group(trial: ClaimedTrial) -> str:
    records = (read_record(path) for path in attempt_files(trial.directory.path))
    before = next((str(record["tracker_group"]) for record in records if record.get("tracker_group")), None)
    persona = re.sub(r"[^\w.-]+", "-", trial.config.persona.name).strip("-.")
    return before or os.environ.get(SWEEP_VARIABLE) or f"{persona}-{trial.data_id}"


def _tensorboard_folder(trial: ClaimedTrial, group: str) -> Path:
    """Return the trial's folder of events, reached by its group too: `tensorboard --logdir runs/tensorboard/GROUP`."""
    folder = trial.directory.path / "tensorboard"
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
