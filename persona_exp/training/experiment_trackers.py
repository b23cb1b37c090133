"""Curves of training, sent to TensorBoard or to Weights & Biases: a run of its own for each trial, several at once in one process.

Scalars have the names that transformers' own callbacks give them: train/loss, train/learning_rate, eval/loss, …, over train/global_step.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from persona_exp.atomic_files import finite
from persona_exp.errors import UserError
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
    """A trial as trackers show it: under its id, in a `group`, with `tags`.

    `config` is shown beside the curves; `hyperparameters` are those of its settings by which TensorBoard's table sorts and filters.
    """

    trial_id: str
    project: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    hyperparameters: Mapping[str, bool | int | float | str]


class Tracker(Protocol):
    """A trial's open run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send `values` (loss, learning_rate, …, eval_loss) of optimiser step `step`."""

    def close(self, code: int = 0) -> None:
        """End the run, of which nothing more is sent, with the trial's exit code; a second time it does nothing."""


def open_tracker(name: str, run: TrackedRun, folder: Path, step: int) -> Tracker:
    """Open `run` under tracker `name`: none, tensorboard or wandb, for an attempt that goes on from optimiser step `step` (0: anew).

    The tracker's files lie in `folder`: of TensorBoard one for all of a trial's attempts, whose curves join; of Weights & Biases the
    attempt's own, in a run that all attempts share by its id. WANDB_PROJECT and WANDB_RUN_GROUP, if set, take the place of the run's own,
    WANDB_TAGS come beside its tags. Without WANDB_MODE, and online by wandb's own settings, it records offline in a job of Slurm, where
    no key is at hand and where the server does not answer to it. Raise UserError where Weights & Biases refuses to start.
    """
    if name == "tensorboard":
        return _TensorBoard(run, folder, step)
    if name == "wandb":
        return _Wandb(run, folder, step)
    return NoTracker()


class NoTracker:
    """The tracker of a trial that asks for none."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def close(self, code: int = 0) -> None:
        """Do nothing."""


class _TensorBoard:
    def __init__(self, run: TrackedRun, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier attempt logged of later steps is computed again.
        self._writer: Any = SummaryWriter(log_dir=str(folder), purge_step=step + 1)
        self._writer.add_text("args", json.dumps(finite(run.config), indent=2, default=str, allow_nan=False))
        self._writer.add_text("tags", ", ".join(run.tags))
        _add_hyperparameters(self._writer, {"group": run.group, **run.hyperparameters})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(_scalar(key), value, step)
        self._writer.flush()

    def close(self, code: int = 0) -> None:
        self._writer.close()


def _add_hyperparameters(writer: Any, values: Mapping[str, bool | int | float | str]) -> None:
    """Add the run's line to the table of hyperparameters; add_hparams would make a second run of it."""
    from torch.utils.tensorboard import summary

    made: Any = summary.hparams
    for part in made({key: value for key, value in values.items() if finite(value) is not None}, {_scalar("loss"): 0.0}):
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
            why = wandb_server.first_line(error)
            raise UserError(f"tracker=wandb cannot start ({why}): run `wandb login`, or set WANDB_MODE=offline.") from None
        if offline:
            later = f"`persona-exp sync {run.trial_id}` uploads them"
            print(f"Trial {run.trial_id}: curves are recorded offline ({offline}); {later}.", flush=True)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP, step_sync=True)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**{_scalar(key): value for key, value in values.items()}, STEP: step})

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
        name=run.trial_id,
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
