"""When engine=sft saves a checkpoint: every so many steps and minutes, and when a signal asks it to stop."""

import random
import time
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_exp.training.checkpoint import affordable, due
from persona_exp.training.stop_signals import Interruption


class CheckpointCallback(TrainerCallback):
    """Has the trainer save and stop.

    Asked to stop in the middle of a step's micro-batches, it drops those and saves the step before, so that the answer takes one
    micro-batch and not one step; the random states are set back to that step's end, and the run that resumes computes the step anew.
    """

    def __init__(self, every_steps: int, every_minutes: float, interruption: Interruption) -> None:
        self._every_steps, self._every_minutes, self._interruption = every_steps, every_minutes, interruption
        self._saved = self._step_ended = time.monotonic()
        self._duration = 0.0
        self._stepped = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._interruption.raise_if_requested()
        self._saved = time.monotonic()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not self._interruption.requested:
            return
        control.should_training_stop = True
        # Before the first step of this run there is nothing that its own checkpoint does not hold.
        if self._stepped:
            self._states.restore()
            control.should_save = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        self._stepped, self._states = True, RandomStates()
        ago = time.monotonic() - self._saved
        is_due = due(state.global_step, ago, every_steps=self._every_steps, every_minutes=self._every_minutes)
        if self._interruption.requested:
            control.should_training_stop = True
        if (affordable(self._duration, ago) and is_due) or self._interruption.requested:
            control.should_save = True
        self._step_ended = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved = time.monotonic()
        self._duration = self._saved - self._step_ended
        # A signal that came while this was being saved: no further step is begun.
        if self._interruption.requested:
            control.should_training_stop = True


class RandomStates:
    """The states of every generator that training draws from, as they are now."""

    def __init__(self) -> None:
        self._python, self._numpy, self._cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def restore(self) -> None:
        """Set them back."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda)
