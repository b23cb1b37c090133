"""What engine=sft reports while it trains: the progress display, a line of train.jsonl, the tracker, and a call after each step."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_exp.atomic_files import json_line
from persona_exp.progress_bar import ProgressMeter
from persona_exp.training.experiment_trackers import CURVES, Tracker

KEYS = ("loss", "learning_rate", "grad_norm", "epoch", "tokens", "supervised_tokens", "mean_token_accuracy")


class LogCallback(TrainerCallback):
    """Writes a JSON line and sends its curves each `log_steps` steps; calls `on_step` (step, steps in all, last finite loss) after each."""

    def __init__(self, meter: ProgressMeter, log: Path, tracker: Tracker, on_step: Callable[[int, int, float | None], None]) -> None:
        self._meter, self._log, self._tracker, self._on_step = meter, log, tracker, on_step
        self._shown: int | None = None
        self._loss: float | None = None
        self._started = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._shown = state.global_step
        # A checkpoint brings the settings of the run that saved it; these may have been changed since.
        state.logging_steps, state.train_batch_size = int(args.logging_steps), args.train_batch_size

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Where this step's loss is about to be logged, it is waited for.
        if not control.should_log:
            self._on_step(state.global_step, state.max_steps, self._loss)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs:
            return
        self._loss = logs["loss"] if math.isfinite(logs["loss"]) else None
        self._meter.advance(state.global_step - (self._shown or 0), note=f"loss {logs['loss']:.3f}")
        self._shown = state.global_step
        line = {"step": state.global_step, **{key: logs[key] for key in KEYS if key in logs}}
        line["seconds"] = round(time.monotonic() - self._started, 3)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json_line(line))
        self._tracker.log(state.global_step, {key: logs[key] for key in CURVES if key in logs})
        self._on_step(state.global_step, state.max_steps, self._loss)
