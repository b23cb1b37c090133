"""Curves of training, sent to TensorBoard or to Weights & Biases: a run of its own for each trial, several at once in one process.

Scalars have the names that transformers' own callbacks give them: train/loss, train/learning_rate, …, over train/global_step.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from persona_exp.errors import UserError

STEP = "train/global_step"


class Tracker(Protocol):
    """A trial's open run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send `values` (loss, learning_rate, …) of optimiser step `step`."""

    def close(self, code: int = 0) -> None:
        """End the run, of which nothing more is sent, with the trial's exit code; a second time it does nothing."""


def open_tracker(
    name: str, *, run_name: str, project: str, folder: Path, config: Mapping[str, Any], resumed: bool, alone: bool = False
) -> Tracker:
    """The run of one attempt at the trial `run_name`, under tracker `name`: none, tensorboard or wandb. Its files lie in `folder`.

    `config` is shown beside the curves. Where the attempt is `resumed`, Weights & Biases goes on with the run of the newest attempt
    before, whose folder lies beside `folder`; TensorBoard shows each attempt's part of the curve by itself. WANDB_PROJECT, if set, takes
    the place of `project`. `alone`: it is the only one open in this process, where others find it as wandb.run. UserError: Weights &
    Biases refuses to start.
    """
    if name == "tensorboard":
        return _TensorBoard(folder, config)
    if name == "wandb":
        return _Wandb(run_name, project, folder, config, resumed, alone)
    return _Nothing()


class _Nothing:
    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def close(self, code: int = 0) -> None:
        pass


class _TensorBoard:
    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(folder))
        self._writer.add_text("args", json.dumps(config, indent=2, default=str))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(f"train/{key}", value, step)
        self._writer.flush()

    def close(self, code: int = 0) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, run_name: str, project: str, folder: Path, config: Mapping[str, Any], resumed: bool, alone: bool) -> None:
        import wandb

        before = _run_before(folder) if resumed else None
        # Said to each run, for wandb reads its environment once a process.
        mode: Any = os.environ.get("WANDB_MODE") or None
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or project,
                name=run_name,
                dir=str(folder),
                config=dict(config),
                id=before,
                resume="allow" if before else None,
                mode=mode,
                reinit="finish_previous" if alone else "create_new",
            )
        except wandb.Error as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UserError(f"tracker=wandb cannot start ({first}): run `wandb login`, or set WANDB_MODE=offline.") from None
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP, step_sync=True)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**{f"train/{key}": value for key, value in values.items()}, STEP: step})

    def close(self, code: int = 0) -> None:
        self._run.finish(exit_code=code)


def _run_before(folder: Path) -> str | None:
    """The id of the run that the newest attempt before `folder` wrote, online or offline; None where none did."""
    runs = [path for path in folder.parent.glob("*/wandb/*run-*-*") if path.is_dir() and path.parents[1].name < folder.name]
    newest = max(runs, key=lambda path: (path.parents[1].name, path.name.partition("run-")[2]), default=None)
    return newest.name.rpartition("-")[2] if newest else None
