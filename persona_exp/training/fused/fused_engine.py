"""A bundle from its first step to its last: slots that finish, stop early, fail or are superseded leave, and pending ones are admitted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from persona_exp.counted_noun import counted
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.progress_bar import ProgressMeter, progress
from persona_exp.training.checkpoint import affordable
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory
from persona_exp.training.fused.slot import BundleStep, OptimizerStep, Slot, ValidationResult
from persona_exp.training.fused.validation_loss import validation_loss
from persona_exp.training.stop_signals import Interrupted, Interruption

# Rows of several slots are made no shorter than that before some of the slots wait.
SHORT_ROW = 512


@dataclass(frozen=True)
class BundleLimits:
    """At most `at_once` slots train together, in rows of at most `row_tokens` tokens.

    What may be done without memory for a row: with `may_shrink` rows become shorter and slots fewer, and with `may_recompute` the
    activations of a slot alone are computed twice.
    """

    at_once: int
    row_tokens: int
    may_shrink: bool = True
    may_recompute: bool = True


class AdmissionQueue(Protocol):
    """The slots that are pending."""

    def admit(self, places: int, bundle_steps: int) -> Sequence[Slot]:
        """Return at most `places` slots that join after the bundle's step number `bundle_steps`; none when the queue is empty."""

    def put_back(self, slots: Sequence[Slot]) -> None:
        """Take back `slots`, which were saved and for which there is no memory, as the first to be admitted again."""


def train_bundle(
    shared: SharedModel,
    slots: Sequence[Slot],
    queue: AdmissionQueue,
    *,
    limits: BundleLimits,
    interruption: Interruption,
    bundle_steps: int = 0,
) -> None:
    """Train `slots`, and at most `limits.at_once` together of those in `queue`, until each has left, after `bundle_steps` of the bundle.

    All save after the same bundle steps, and before one that has finished or failed leaves, so that a bundle that was killed resumes with
    the same slots at the same step. On a signal drop the steps that are not whole, save the slots as they were before, and raise
    Interrupted. Without the memory for a row raise RowOutOfMemory, unless `limits.may_shrink`: then rows become shorter, then half of the
    slots wait until the others are done; for a slot alone rows become as short as a document, then, if `limits.may_recompute`, activations
    are computed twice; a slot for which there is no memory even so fails."""
    if slots:
        with progress("training", 0) as meter:
            training = _BundleTraining(shared, queue, limits, interruption, bundle_steps, meter)
            training.join(slots)
            training.run()


class _BundleTraining:
    """The bundle as it is: the slots that are `running`, how many steps each of them has `ahead`, when and after which bundle step all
    were `saved` and how long that took."""

    def __init__(
        self,
        shared: SharedModel,
        queue: AdmissionQueue,
        limits: BundleLimits,
        interruption: Interruption,
        bundle_steps: int,
        meter: ProgressMeter,
    ) -> None:
        self.shared, self.queue, self.limits, self.interruption = shared, queue, limits, interruption
        self.bundle_steps, self.meter = bundle_steps, meter
        self.running: list[Slot] = []
        self.ahead: dict[int, int] = {}
        self.saved = time.monotonic()
        self.saved_at, self.saving = 0, 0.0

    def run(self) -> None:
        """Train until no slot is running."""
        while self.running:
            # Killed after its last step, a slot has only to be published.
            if any(slot.done for slot in self.running):
                self._settle(self.running)
                continue
            try:
                staying, short = self._next(), None
            except Interrupted:
                _clear_gradients(self.running)
                self._save(self.running)
                raise
            except RowOutOfMemory as error:
                short = error
            if short is None:
                self._settle(staying)
            elif self.limits.may_shrink:
                self._fall_back(short)
            else:
                raise short

    def join(self, slots: Sequence[Slot]) -> None:
        """Train these too."""
        for slot in slots:
            self.shared.join(slot.number, slot.adapter)
            self.ahead[slot.number] = slot.hyperparameters.last_step - slot.step
        self.meter.extend(sum(self.ahead[slot.number] for slot in slots))
        self.running = [*self.running, *slots]

    def _leave(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            # Of steps that are not taken, or not now.
            self.meter.extend(-self.ahead.pop(slot.number))
            self.shared.leave(slot.number)
            slot.callbacks.left()
            slot.release()
        self.running = [slot for slot in self.running if slot not in slots]

    def _admit(self) -> None:
        """Have pending slots take the places that are free."""
        self.join(self.queue.admit(self.limits.at_once - len(self.running), self.bundle_steps))

    def _next(self) -> list[Slot]:
        """Validate the slots for which it is time, else take a step of each; return those that have not failed."""
        results = {slot.number: self._validate(slot) for slot in self.running if slot.validation_due}
        if results:
            return [slot for slot in self.running if slot.number not in results or self._goes_on(slot, results[slot.number])]
        began = time.monotonic()
        outcomes = bundle_step(self.shared, self.running, self.limits.row_tokens, self.interruption)
        self.bundle_steps += 1
        self.ahead = {number: steps - (number in outcomes) for number, steps in self.ahead.items()}
        self.meter.advance(len(outcomes), note=f"steps of {len(self.running)} trials" if len(self.running) > 1 else "")
        tokens = sum(step.tokens for step in outcomes.values() if isinstance(step, OptimizerStep))
        taken = BundleStep(time.monotonic() - began, tokens, len(self.running), self.limits.row_tokens, self.bundle_steps)
        return [slot for slot in self.running if _report_step(slot, outcomes[slot.number], taken)]

    def _validate(self, slot: Slot) -> ValidationResult | Exception:
        """Return the result, or the slot's own error."""
        assert slot.early_stopping
        began = time.monotonic()
        try:
            loss = validation_loss(self.shared, slot.number, slot.early_stopping.encoded, self.limits.row_tokens, self.interruption)
        except (Interrupted, RowOutOfMemory):
            raise
        except Exception as error:
            return error
        return ValidationResult(loss, time.monotonic() - began)

    def _goes_on(self, slot: Slot, result: ValidationResult | Exception) -> bool:
        """Report a validation; return whether the slot has neither failed nor been given up."""
        if isinstance(result, Exception):
            slot.callbacks.failed(result)
            return False
        if not _call(slot, slot.callbacks.validated, result):
            return False
        try:
            return not slot.callbacks.given_up(self.bundle_steps)
        except Exception as error:
            slot.callbacks.failed(error)
            return False

    def _settle(self, staying: list[Slot]) -> None:
        """Save where it is time; let slots that are done or have failed leave, and admit pending ones in their places."""
        stay_on = [slot for slot in staying if not slot.done]
        changes = len(stay_on) < len(self.running)
        ago = time.monotonic() - self.saved
        due = affordable(self.saving, ago) and any(slot.callbacks.checkpoint_due(self.bundle_steps, ago) for slot in staying)
        if (changes and stay_on) or due:
            began = time.monotonic()
            staying = self._save(staying)
            seconds = time.monotonic() - began
            # What has been saved after this step is not written twice.
            self.saving = max(self.saving, seconds) if self.bundle_steps == self.saved_at else seconds
            self.saved, self.saved_at = time.monotonic(), self.bundle_steps
        for slot in staying:
            if slot.done:
                _call(slot, slot.callbacks.finished)
        stay_on = [slot for slot in stay_on if slot in staying]
        if changes or len(stay_on) < len(self.running):
            self._leave([slot for slot in self.running if slot not in stay_on])
            self._admit()

    def _save(self, slots: Sequence[Slot]) -> list[Slot]:
        """Save `slots`; return those with which that went well."""
        return [slot for slot in slots if _call(slot, slot.callbacks.save, self.bundle_steps)]

    def _fall_back(self, error: RowOutOfMemory) -> None:
        """Make rows shorter after `error`, else slots fewer, else compute activations twice; else fail the slot."""
        _clear_gradients(self.running)
        shorter = _shorter_row(self.running, self.limits.row_tokens)
        if shorter is not None:
            self.limits = replace(self.limits, row_tokens=shorter)
            print(f"Out of memory: rows of {shorter} tokens from now on.", flush=True)
        elif len(self.running) > 1:
            half = (len(self.running) + 1) // 2
            waiting = self.running[half:]
            self.queue.put_back(self._save(waiting))
            self._leave(waiting)
            together = counted(half, "trial", "goes on alone", "go on together")
            print(f"Out of memory: {together}, and {len(waiting)} after {'it' if half == 1 else 'them'}.", flush=True)
        elif self.limits.may_recompute and not self.shared.recompute:
            self.shared.recompute = True
            print("Out of memory: activations are computed twice from now on, and not kept.", flush=True)
        else:
            self.running[0].callbacks.failed(error)
            self._leave(self.running)
        self.limits = replace(self.limits, at_once=min(self.limits.at_once, max(1, len(self.running))))
        if not self.running:
            self._admit()


def _shorter_row(slots: Sequence[Slot], row_tokens: int) -> int | None:
    """Return the tokens of a row from now on; None where rows may become no shorter."""
    documents = [len(one.input_ids) for slot in slots for one in slot.documents()]
    row, least = min(row_tokens, sum(documents)), max(documents)
    return max(row // 2, least) if row > max(least, SHORT_ROW if len(slots) > 1 else 0) else None


def _report_step(slot: Slot, step: OptimizerStep | Exception, bundle_step: BundleStep) -> bool:
    """Return whether it has not failed."""
    if isinstance(step, Exception):
        slot.callbacks.failed(step)
        return False
    return _call(slot, slot.callbacks.stepped, step, bundle_step)


def _clear_gradients(slots: Sequence[Slot]) -> None:
    """Drop what the rows before have added to the gradients."""
    for slot in slots:
        slot.adapter.zero_grad()


def _call(slot: Slot, callback: Callable[..., None], *given: Any) -> bool:
    """Call back; return whether that went well. An error is given to the slot's `failed`."""
    try:
        callback(*given)
    except Exception as error:
        slot.callbacks.failed(error)
        return False
    return True
