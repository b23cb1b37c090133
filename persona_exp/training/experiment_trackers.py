"""Curves of training, sent to TensorBoard or to Weights & Biases: a run of its own for each trial, several at once in one process.

Scalars have the names that transformers' own callbacks give them: train/loss, train/learning_rate, eval/loss, …, over train/global_step.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from persona_exp.atomic_files import finite
from persona_exp.process_identity import this_job
from persona_exp.training import wandb_server

STEP = "train/global_step"
# What is sent of an optimiser step.
CURVES = ("loss", "grad_norm", "learning_rate", "epoch")
# Weights & Biases takes no longer tag.
LONGEST_TAG = 64
# So long a trial waits for a server that has ceased to answer, before its first step and after its last.
START_SECONDS, END_SECONDS = 30.0, 60.0


@dataclass(frozen=True)
class TrackedRun:
    """A trial as trackers show it: under `name` (its id where that is empty), in a `group`, with `tags`.

    `config` is shown beside the curves; `hyperparameters` are those of its settings by which TensorBoard's table sorts, `figures` the
    names of the final figures in that table.
    """

    trial_id: str
    project: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    hyperparameters: Mapping[str, bool | int | float | str]
    name: str = ""
    figures: tuple[str, ...] = ()


class Tracker(Protocol):
    """A trial's open run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send `values` (loss, learning_rate, …, eval_loss) of optimiser step `step`."""

    def final(self, step: int, values: Mapping[str, float]) -> None:
        """Send what came out in the end, after `step` optimiser steps, under names of its own: test/perplexity, …."""

    def close(self, code: int = 0) -> None:
        """End the run, of which nothing more is sent, with the trial's exit code; a second time it does nothing."""


def open_tracker(name: str, run: TrackedRun, folder: Path, step: int, history: Sequence[Mapping[str, float]] = ()) -> Tracker:
    """Open `run` under tracker `name`: none, tensorboard or wandb, for an attempt that goes on from optimiser step `step` (0: anew).

    `history` has what was logged up to that step, a mapping with `step` each, ascending: what a killed process did not send is sent again.
    No tracker fails a trial: what cannot be opened or sent is said, and train.jsonl has the curves.

    The tracker's files lie in `folder`: of TensorBoard one for all of a trial's attempts, whose curves join; of Weights & Biases the
    attempt's own, in a run that all attempts share by its id. WANDB_PROJECT and WANDB_RUN_GROUP, if set, take the place of the run's own,
    WANDB_TAGS come beside its tags. Without WANDB_MODE, and online by wandb's own settings, it records offline in a job of Slurm, where
    no key is at hand and where the server does not answer to it, and offline where Weights & Biases refuses to start.
    """
    if name == "none":
        return NoTracker()
    try:
        opened: Tracker = _TensorBoard(run, folder, step, history) if name == "tensorboard" else _Wandb(run, folder, step)
    except Exception as failure:
        _say(run.trial_id, name, failure)
        return NoTracker()
    tracker = NeverFailing(opened, run.trial_id, name)
    for line in history:
        tracker.log(int(line["step"]), {key: line[key] for key in (*CURVES, "eval_loss") if line.get(key) is not None})
    return tracker


def _say(trial_id: str, name: str, failure: Exception) -> None:
    why = wandb_server.first_line(failure)
    print(f"Trial {trial_id}: tracker={name} cannot be used ({why}); train.jsonl has the curves.", file=sys.stderr, flush=True)


class NeverFailing:
    """A tracker that says its first failure and is silent from then on: a trial does without curves, not without its results."""

    def __init__(self, tracker: Tracker, trial_id: str, name: str) -> None:
        self._tracker, self._trial_id, self._name = tracker, trial_id, name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send `values`, as long as the tracker takes them."""
        try:
            self._tracker.log(step, values)
        except Exception as failure:
            self._give_up(failure)

    def final(self, step: int, values: Mapping[str, float]) -> None:
        """Send the final figures, as long as the tracker takes them."""
        try:
            self._tracker.final(step, values)
        except Exception as failure:
            self._give_up(failure)

    def close(self, code: int = 0) -> None:
        """End the run."""
        try:
            self._tracker.close(code)
        except Exception as failure:
            self._give_up(failure)

    def _give_up(self, failure: Exception) -> None:
        _say(self._trial_id, self._name, failure)
        self._tracker = NoTracker()


class NoTracker:
    """The tracker of a trial that asks for none."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def final(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def close(self, code: int = 0) -> None:
        """Do nothing."""


class _TensorBoard:
    def __init__(self, run: TrackedRun, folder: Path, step: int, history: Sequence[Mapping[str, float]]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier attempt logged of later steps is computed again, and what is on record is sent again.
        self._writer: Any = SummaryWriter(log_dir=str(folder), purge_step=int(history[0]["step"]) if history else step + 1)
        self._writer.add_text("args", json.dumps(finite(run.config), indent=2, default=str, allow_nan=False))
        self._writer.add_text("tags", ", ".join(run.tags))
        _add_hyperparameters(self._writer, {"group": run.group, **run.hyperparameters}, run.figures)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(_scalar(key), value, step)
        self._writer.flush()

    def final(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, code: int = 0) -> None:
        self._writer.close()


def _add_hyperparameters(writer: Any, values: Mapping[str, bool | int | float | str], figures: Sequence[str]) -> None:
    """Add the run, with its final `figures`, as a line to the table of hyperparameters; add_hparams would make a second run of it."""
    from torch.utils.tensorboard import summary

    made: Any = summary.hparams
    for part in made(
        {key: value for key, value in values.items() if finite(value) is not None}, dict.fromkeys((_scalar("loss"), *figures), 0.0)
    ):
        writer.file_writer.add_summary(part)


class _Wandb:
    def __init__(self, run: TrackedRun, folder: Path, step: int) -> None:
        import wandb

        self._trial_id = run.trial_id
        # Read here, for wandb reads its environment once a process.
        asked = os.environ.get("WANDB_MODE") or None
        offline = None if asked or wandb.setup().settings.mode != "online" else _why_offline()
        try:
            self._run: Any = _init(run, folder, step, "offline" if offline else asked)
        except wandb.Error as error:
            offline = f"it did not start: {wandb_server.first_line(error)}; `wandb login` mends a key"
            self._run = _init(run, folder, step, "offline")
        if offline:
            later = f"`persona-exp sync {run.trial_id}` uploads them"
            print(f"Trial {run.trial_id}: curves are recorded offline ({offline}); {later}.", flush=True)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP, step_sync=True)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # The optimiser's step is wandb's own too: an offline run that another attempt goes on with keeps its place. Of a run that goes on
        # online, wandb knows how far it came; what it has it does not take again.
        if step >= self._run.step:
            self._run.log({**{_scalar(key): value for key, value in values.items()}, STEP: step}, step=step)

    def final(self, step: int, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def close(self, code: int = 0) -> None:
        try:
            self._run.finish(exit_code=code)
        except TimeoutError:
            folder = self._run.settings.sync_dir
            print(f"Trial {self._trial_id}: not all curves were sent; `wandb sync --include-online {folder}` does it.", flush=True)


def _init(run: TrackedRun, folder: Path, step: int, mode: Any) -> Any:
    import wandb

    tags = [*run.tags, *os.environ.get("WANDB_TAGS", "").split(",")]
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or run.project,
        group=os.environ.get("WANDB_RUN_GROUP") or run.group,
        name=run.name or run.trial_id,
        id=run.trial_id,
        # Begun anew, it takes the place of what was there.
        resume="allow" if step else None,
        tags=list(dict.fromkeys(tag.strip()[:LONGEST_TAG] for tag in tags if tag.strip())),
        dir=str(folder),
        config=dict(run.config),
        mode=mode,
        reinit="create_new",
        settings=wandb.Settings(
            init_timeout=START_SECONDS,
            finish_timeout=END_SECONDS,
            finish_timeout_raises=True,
            # The commit of whatever repository the runs lie in is not that of the sealed code.
            disable_git=True,
        ),
    )


def _why_offline() -> str | None:
    """Return why a run is not sent at once; None where it is."""
    if this_job():
        return "this is a job of Slurm"
    if not wandb_server.key_at_hand():
        return "no key of Weights & Biases is at hand"
    return wandb_server.server_refusal()


def _scalar(name: str) -> str:
    """Return the name under which transformers' callbacks send a value."""
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
