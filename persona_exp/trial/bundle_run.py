"""A bundle's trials in one process: trained on one base model and evaluated together, each published and ended as if it had run alone."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from persona_exp import atomic_files
from persona_exp.training.fused.row_packing import ROW_TOKENS
from persona_exp.training.out_of_memory_errors import is_out_of_memory
from persona_exp.training.stop_signals import Interrupted, Interruption
from persona_exp.trial.bundle_base_model import load_bundle_base
from persona_exp.trial.bundle_evaluation import measure
from persona_exp.trial.resource_accounting import DeviceMeter
from persona_exp.trial.resume_checkpoint import common_bundle_step
from persona_exp.trial.trial_base_model import fetch_model
from persona_exp.trial.trial_in_bundle import TrialInBundle

if TYPE_CHECKING:
    from persona_exp.training.fused.fused_engine import BundleLimits
    from persona_exp.training.fused.slot import Slot


def run_bundle(
    first: TrialInBundle,
    others: Iterator[TrialInBundle],
    interruption: Interruption,
    *,
    together: int | None = None,
    row_tokens: int | None = None,
    evaluates_first: bool = False,
) -> list[TrialInBundle]:
    """Train and evaluate `first` and all `others`, which share a base model; return them, each of which has ended.

    At most bundle.size train at once, in their order; the next takes the place of one that leaves. `together` and `row_tokens` bound what
    the first's config asks for, after a lack of memory; with `evaluates_first` what has been trained is evaluated before another is taken
    from `others`, which may have none now and another later. An error that is no trial's own is that of all that have not ended.
    """
    from persona_exp.training.fused.fused_engine import BundleLimits

    config = first.config
    limits = BundleLimits(
        at_once=min(config.bundle.size, together or config.bundle.size),
        row_tokens=min(filter(None, (config.bundle.row_tokens or ROW_TOKENS, row_tokens))),
        may_shrink=config.train.halve_on_oom,
        may_recompute=config.train.gradient_checkpointing is not False,
    )
    bundle = Bundle(first, others, interruption, limits, evaluates_first)
    try:
        bundle.run()
    except (Interrupted, Exception) as error:
        bundle.share_time()
        with ExitStack() as ends:
            # Each is ended, also when another cannot be.
            for trial in bundle.trials:
                ends.callback(trial.end, error)
    for trial in bundle.trials:
        # None is; but "finished" is not recorded of one that may not be.
        trial.end(RuntimeError("it was left behind in its bundle"))
    return bundle.trials


class Bundle:
    """A base model, all `trials` that were ever in its bundle, and those that are pending (`others`, in their order)."""

    def __init__(
        self,
        first: TrialInBundle,
        others: Iterator[TrialInBundle],
        interruption: Interruption,
        limits: "BundleLimits",
        evaluates_first: bool = False,
    ) -> None:
        self.trials = [first]
        self._evaluates_first = evaluates_first
        self._others = others
        self._put_back = [first]
        self._interruption, self._limits = interruption, limits
        self._grow = first.config.bundle.row_tokens is None and limits.row_tokens == ROW_TOKENS
        self._others_ended = False
        self._name = ""
        self._since, self._trained_for = time.monotonic(), 0.0

    def run(self) -> None:
        """Train and evaluate until no trial is left."""
        from persona_exp.modeling.multi_lora.shared_model import SharedModel
        from persona_exp.training.fused.fused_engine import train_bundle
        from persona_exp.training.fused.row_length_probe import fitting_row_tokens

        first = self.trials[0]
        first.attempt.progress("loading")
        with self._interruption.at_once():
            self._model_folder = fetch_model(first.config)
            model, self._dequantised = load_bundle_base(
                first.config, self._model_folder, at_once=self._limits.at_once, row_tokens=self._limits.row_tokens
            )
        self._shared = SharedModel(model, recompute=first.config.train.gradient_checkpointing is True)
        self._meter = DeviceMeter(model, (first.attempt.record.get("hardware") or {}).get("gpu"))
        while self._put_back or not self._others_ended:
            slots, bundle_steps = self._start()
            if self._grow and slots:
                with self._interruption.at_once(), self._meter.aside():
                    row_tokens, self._meter.probe = fitting_row_tokens(self._shared, slots, self._limits.row_tokens)
                self._limits = replace(self._limits, row_tokens=row_tokens)
                self._grow = False
            train_bundle(self._shared, slots, self, limits=self._limits, interruption=self._interruption, bundle_steps=bundle_steps)
            self._evaluate()

    def admit(self, places: int, bundle_steps: int) -> "list[Slot]":
        """Return the slots that take the places that are free. As many trained trials as train at once are evaluated first."""
        self.share_time()
        admitted: list[TrialInBundle] = []
        with self._meter.aside():
            while len(admitted) < places and (ready := self._prepare(places - len(admitted))):
                with self._interruption.at_once():
                    ready = [trial for trial in ready if trial.isolated(trial.resume) and trial.isolated(trial.join, self._name)]
                    admitted += [trial for trial in ready if trial.isolated(trial.save, bundle_steps)]
            if len(self._trained()) >= self._limits.at_once:
                self._evaluate()
        self._record_companions()
        return [trial.slot for trial in admitted]

    def put_back(self, slots: "Sequence[Slot]") -> None:
        """Take back the trials of `slots`, as the first in the queue."""
        numbers = [slot.number for slot in slots]
        self._put_back = [*(trial for trial in self.trials if trial.number in numbers), *self._put_back]

    def share_time(self) -> None:
        """Add the time that has gone by, less that of steps and validations, to all trials that have not ended, in equal parts."""
        now, trained_for = time.monotonic(), sum(trial.account.spent for trial in self.trials if trial.account)
        around = max(0.0, now - self._since - (trained_for - self._trained_for))
        present = [trial for trial in self.trials if trial.code is None]
        for trial in present:
            trial.seconds_around += around / len(present)
        self._since, self._trained_for = now, trained_for

    def _start(self) -> "tuple[list[Slot], int]":
        """Return the slots that train first, as they were saved, and how many bundle steps they have behind them."""
        trials = self._prepare(self._limits.at_once)
        at = common_bundle_step([trial.directory for trial in trials])
        with self._interruption.at_once():
            trials = [trial for trial in trials if trial.isolated(trial.resume, at)]
            names = [[trial.directory.trial_id, trial.attempt.number] for trial in trials]
            self._name = at.bundle if at else atomic_files.digest(names)[:8]
            trials = [trial for trial in trials if trial.isolated(trial.join, self._name)]
            if not at and any(trial.slot.step for trial in trials):
                # New to each other: saved now, they resume together if they are killed.
                trials = [trial for trial in trials if trial.isolated(trial.save, 0)]
        if len(trials) > 1:
            print(f"{len(trials)} trials are trained together on one base model.", flush=True)
        self._record_companions()
        return [trial.slot for trial in trials], at.number if at else 0

    def _prepare(self, places: int) -> list[TrialInBundle]:
        """Return the next in the queue that have something to train, ready for their slots, `places` at most. Others await their
        evaluation, which takes place at once when they are as many as train at once."""
        found: list[TrialInBundle] = []
        while len(found) < places and (trial := self._next()):
            if not trial.trains:
                if len(self._trained()) >= self._limits.at_once:
                    self._evaluate()
                continue
            try:
                with self._interruption.at_once():
                    trial.prepare(self._shared.model, self._model_folder, self._meter)
            except Exception as error:
                if is_out_of_memory(error) and self._running():
                    self._put_back.insert(0, trial)
                    break
                trial.end(error)
            else:
                found.append(trial)
        return found

    def _next(self) -> TrialInBundle | None:
        if self._put_back:
            return self._put_back.pop(0)
        if self._evaluates_first and self._trained():
            self._evaluate()
        trial = next(self._others, None)
        self._others_ended = trial is None
        if trial is not None:
            self.trials.append(trial)
        return trial

    def _running(self) -> list[TrialInBundle]:
        return [trial for trial in self.trials if trial.running]

    def _record_companions(self) -> None:
        running = self._running()
        for trial in running:
            # What cannot be written now is written with the next heartbeat.
            with suppress(OSError):
                trial.record_companions(running, self._dequantised)

    def _trained(self) -> list[TrialInBundle]:
        return [trial for trial in self.trials if trial.code is None and not trial.trains]

    def _evaluate(self) -> None:
        """Evaluate what has been trained; each has ended then."""
        trained = self._trained()
        with self._interruption.at_once(), self._meter.aside():
            measure(trained, self._shared, self._model_folder)
        self.share_time()
        for trial in trained:
            trial.end()
