"""A bundle from its first step to its last: lanes that finish, fail or are overtaken leave, and the others go on."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from persona_exp.modeling.bundle.shared import Shared
from persona_exp.progress import progress
from persona_exp.training.fused.lane import Lane, Step
from persona_exp.training.fused.tick import tick
from persona_exp.training.interruption import Interrupted, Interruption


class Rider(Protocol):
    """Whose lane it is. What one raises is told to it by `failed`, and touches no other."""

    lane: Lane

    def stepped(self, step: Step, seconds: float) -> None:
        """After each optimiser step; `seconds` is its share of the time that the bundle took, by tokens."""

    def save(self) -> None:
        """Save a checkpoint of the lane as it is."""

    def finished(self) -> None:
        """After the last step."""

    def failed(self, error: Exception) -> None:
        """It cannot go on."""


def train(
    shared: Shared,
    riders: Sequence[Rider],
    *,
    row_tokens: int,
    checkpoint_steps: int,
    checkpoint_minutes: float,
    interruption: Interruption,
) -> None:
    """Train the lanes of `riders` together until each has left.

    All save after the same steps of the bundle, so that a bundle that was killed goes on in the same company from the same step. A signal
    drops the steps that are not whole, saves the lanes as they were before, and raises Interrupted.
    """
    riding = {rider.lane.number: rider for rider in riders}
    for rider in riders:
        shared.join(rider.lane.number, rider.lane.adapter)
    steps = sum(rider.lane.recipe.max_steps - rider.lane.step for rider in riders)
    saved, ticks = time.monotonic(), min((rider.lane.step for rider in riders), default=0)
    with progress("training", steps) as meter:
        while riding:
            began = time.monotonic()
            try:
                came = tick(shared, [rider.lane for rider in riding.values()], row_tokens, interruption)
            except Interrupted:
                for rider in riding.values():
                    rider.lane.adapter.zero_grad()
                    _told(rider, rider.save)
                raise
            ticks += 1
            meter.advance(len(came), note=f"{len(riding)} together" if len(riding) > 1 else "")
            tokens = sum(step.tokens for step in came.values() if isinstance(step, Step))
            pace = (time.monotonic() - began) / max(tokens, 1)
            gone = [number for number, step in came.items() if not _advanced(riding[number], step, pace)]
            if ticks % checkpoint_steps == 0 or time.monotonic() - saved > checkpoint_minutes * 60:
                gone += [number for number, rider in riding.items() if number not in gone and not _told(rider, rider.save)]
                saved = time.monotonic()
            for number in gone:
                shared.leave(number)
                del riding[number]


def _advanced(rider: Rider, step: Step | FloatingPointError, pace: float) -> bool:
    """Whether it goes on after this step, at `pace` seconds a token."""
    if isinstance(step, FloatingPointError):
        rider.failed(step)
        return False
    if not _told(rider, rider.stepped, step, pace * step.tokens):
        return False
    if rider.lane.done:
        _told(rider, rider.finished)
    return not rider.lane.done


def _told(rider: Rider, what: Callable[..., None], *given: Any) -> bool:
    try:
        what(*given)
    except Exception as error:
        rider.failed(error)
        return False
    return True
