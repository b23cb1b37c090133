"""A bundle from its first step to its last: lanes that finish, stop early, fail or are overtaken leave, and who waits takes their place."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from persona_exp.modeling.bundle.shared import Shared
from persona_exp.progress import Meter, progress
from persona_exp.training.checkpoint import affordable
from persona_exp.training.fused.lane import Lane, Step
from persona_exp.training.fused.rider import Line, Look, Rider, Tick
from persona_exp.training.fused.row_pass import NoRoom
from persona_exp.training.fused.tick import tick
from persona_exp.training.fused.validation import validation_loss
from persona_exp.training.interruption import Interrupted, Interruption

# Rows of several lanes are made no shorter than that before some of the lanes wait.
SHORT_ROW = 512


def train(
    shared: Shared,
    riders: Sequence[Rider],
    line: Line,
    *,
    ticks: int,
    at_once: int,
    row_tokens: int,
    may_yield: bool = True,
    may_recompute: bool = True,
    interruption: Interruption,
) -> None:
    """Train the lanes of `riders`, and at most `at_once` together of those who wait, until each has left; `ticks` lie behind them.

    All save after the same ticks, and before who has finished or failed leaves, so that a bundle that was killed goes on in the same
    company from the same tick. A signal drops the steps that are not whole, saves the lanes as they were before, and raises Interrupted.
    Without the memory for a row NoRoom is raised, unless the bundle `may_yield`: then rows become shorter, then half of the lanes wait till
    the others are done; for a lane alone rows become as short as a document, then, if `may_recompute`, activations are computed twice; a
    lane that has no room even so fails.
    """
    if riders:
        journey = _Journey(shared, line, interruption, ticks, at_once, row_tokens, may_yield, may_recompute)
        with progress("training", 0) as journey.meter:
            journey.join(riders)
            journey.run()


@dataclass
class _Journey:
    """Where a bundle stands, the rest of it as `train` has it: who rides, how many steps each of them has `ahead`, when and after
    which tick all were `saved` and how long that took."""

    shared: Shared
    line: Line
    interruption: Interruption
    ticks: int
    at_once: int
    row_tokens: int
    may_yield: bool
    may_recompute: bool
    riding: list[Rider] = field(default_factory=list)
    ahead: dict[int, int] = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)
    saved_at: int = 0
    saving: float = 0.0
    meter: Meter = field(init=False)

    def run(self) -> None:
        """Until nobody rides."""
        while self.riding:
            # Killed after its last step, a lane has only to be published.
            if any(rider.lane.done for rider in self.riding):
                self._settle(self.riding)
                continue
            try:
                staying, short = self._next(), None
            except Interrupted:
                _clear(self.riding)
                _all_told(self.riding, "save", self.ticks)
                raise
            except NoRoom as error:
                short = error
            if short is None:
                self._settle(staying)
            elif self.may_yield:
                self._do_with_less(short)
            else:
                raise short

    def join(self, riders: Sequence[Rider]) -> None:
        """These ride too."""
        for rider in riders:
            self.shared.join(rider.lane.number, rider.lane.adapter)
            self.ahead[rider.number] = rider.lane.recipe.max_steps - rider.lane.step
        self.meter.extend(sum(self.ahead[rider.number] for rider in riders))
        self.riding = [*self.riding, *riders]

    def _leave(self, riders: Sequence[Rider]) -> None:
        for rider in riders:
            # Of steps that are not taken, or not now.
            self.meter.extend(-self.ahead.pop(rider.number))
            self.shared.leave(rider.number)
            rider.left()
        self.riding = [rider for rider in self.riding if rider not in riders]

    def _board(self) -> None:
        """Those who wait take the places that are free."""
        self.join(self.line.board(self.riding, self.at_once - len(self.riding), self.ticks))

    def _next(self) -> list[Rider]:
        """A look at the lanes for which it is time, else a step of each; those who have not failed."""
        looks = {rider.number: self._look(rider.lane) for rider in self.riding if rider.lane.validation_due}
        if looks:
            return [rider for rider in self.riding if rider.number not in looks or _looked(rider, looks[rider.number])]
        began = time.monotonic()
        came = tick(self.shared, [rider.lane for rider in self.riding], self.row_tokens, self.interruption)
        self.ticks += 1
        self.ahead = {number: steps - (number in came) for number, steps in self.ahead.items()}
        self.meter.advance(len(came), note=f"steps of {len(self.riding)} trials" if len(self.riding) > 1 else "")
        tokens = sum(step.tokens for step in came.values() if isinstance(step, Step))
        told = Tick(time.monotonic() - began, tokens, len(self.riding), self.row_tokens)
        return [rider for rider in self.riding if _stepped(rider, came[rider.lane.number], told)]

    def _look(self, lane: Lane) -> Look | Exception:
        """What is seen, or the lane's own error."""
        assert lane.validation
        began = time.monotonic()
        try:
            loss = validation_loss(self.shared, lane.number, lane.validation.encoded, self.row_tokens, self.interruption)
        except (Interrupted, NoRoom):
            raise
        except Exception as error:
            return error
        return Look(loss, time.monotonic() - began)

    def _settle(self, staying: list[Rider]) -> None:
        """Save where it is time; who is done or has failed leaves, and who waits takes the place."""
        stay_on = [rider for rider in staying if not rider.lane.done]
        changes = len(stay_on) < len(self.riding)
        ago = time.monotonic() - self.saved
        if (changes and stay_on) or (affordable(self.saving, ago) and any(rider.due(self.ticks, ago) for rider in staying)):
            began = time.monotonic()
            staying = _all_told(staying, "save", self.ticks)
            took = time.monotonic() - began
            # What has been saved after this tick is not written twice.
            self.saving = max(self.saving, took) if self.ticks == self.saved_at else took
            self.saved, self.saved_at = time.monotonic(), self.ticks
        _all_told([rider for rider in staying if rider.lane.done], "finished")
        stay_on = [rider for rider in stay_on if rider in staying]
        if changes or len(stay_on) < len(self.riding):
            self._leave([rider for rider in self.riding if rider not in stay_on])
            self._board()

    def _do_with_less(self, reason: NoRoom) -> None:
        """After a row had no room: shorter rows, then fewer lanes at once, then activations computed twice; then the lane fails."""
        _clear(self.riding)
        documents = [len(one.input_ids) for rider in self.riding for one in rider.lane.window()]
        row, least = min(self.row_tokens, sum(documents)), max(documents)
        if row > max(least, SHORT_ROW if len(self.riding) > 1 else 0):
            self.row_tokens = max(row // 2, least)
            print(f"Out of memory: rows of {self.row_tokens} tokens from now on.", flush=True)
        elif len(self.riding) > 1:
            half = (len(self.riding) + 1) // 2
            going = self.riding[half:]
            self.line.put_back(_all_told(going, "save", self.ticks))
            self._leave(going)
            print(f"Out of memory: {half} trials go on together, and {len(going)} after them.", flush=True)
        elif self.may_recompute and not self.shared.recompute:
            self.shared.recompute = True
            print("Out of memory: activations are computed twice from now on, and not kept.", flush=True)
        else:
            self.riding[0].failed(reason)
            self._leave(self.riding)
        self.at_once = min(self.at_once, max(1, len(self.riding)))
        if not self.riding:
            self._board()


def _stepped(rider: Rider, step: Step | FloatingPointError, told: Tick) -> bool:
    """Whether it has not failed."""
    if isinstance(step, FloatingPointError):
        rider.failed(step)
        return False
    return _told(rider, rider.stepped, step, told)


def _looked(rider: Rider, look: Look | Exception) -> bool:
    if isinstance(look, Exception):
        rider.failed(look)
        return False
    return _told(rider, rider.looked, look)


def _clear(riders: Sequence[Rider]) -> None:
    """Drop what the rows before have added to the gradients."""
    for rider in riders:
        rider.lane.adapter.zero_grad()


def _all_told(riders: Sequence[Rider], what: str, *given: Any) -> list[Rider]:
    """Have each do `what`; those of them with which that went well."""
    return [rider for rider in riders if _told(rider, getattr(rider, what), *given)]


def _told(rider: Rider, what: Callable[..., None], *given: Any) -> bool:
    try:
        what(*given)
    except Exception as error:
        rider.failed(error)
        return False
    return True
