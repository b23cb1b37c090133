"""A bundle from its first step to its last: lanes that finish, fail or are overtaken leave, and who waits takes their place."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from persona_exp.modeling.bundle.shared import Shared
from persona_exp.progress import progress
from persona_exp.training.fused.lane import Lane, Step
from persona_exp.training.fused.row_length import measured
from persona_exp.training.fused.tick import NoRoom, tick
from persona_exp.training.interruption import Interrupted, Interruption


@dataclass(frozen=True)
class Tick:
    """One step of each lane: `lanes` took `seconds` for `tokens`, at most `row_tokens` of them at once."""

    seconds: float
    tokens: int
    lanes: int
    row_tokens: int


class Rider(Protocol):
    """Whose lane it is. What one raises is told to it by `failed`, and touches no other."""

    lane: Lane

    def stepped(self, step: Step, tick: Tick) -> None:
        """After each optimiser step, which was taken in `tick`."""

    def due(self, ticks: int, seconds: float) -> bool:
        """Whether it is time for a checkpoint, after the bundle's tick number `ticks` and `seconds` after the last one."""

    def save(self, ticks: int) -> None:
        """Save a checkpoint of the lane as it is after the bundle's tick number `ticks`."""

    def finished(self) -> None:
        """After the last step."""

    def failed(self, error: Exception) -> None:
        """It cannot go on."""


class Line(Protocol):
    """Those who wait for a place."""

    def board(self, riding: Sequence[Rider], places: int, ticks: int) -> Sequence[Rider]:
        """At most `places` riders that join those who ride, after the bundle's tick number `ticks`; none when nobody is left."""

    def put_back(self, riders: Sequence[Rider]) -> None:
        """There is no memory for these: saved, they wait, and are the first to board again."""


def train(
    shared: Shared,
    riders: Sequence[Rider],
    line: Line,
    *,
    ticks: int,
    at_once: int,
    row_tokens: int,
    grow: bool = False,
    may_recompute: bool = True,
    interruption: Interruption,
) -> None:
    """Train the lanes of `riders`, and at most `at_once` together of those who wait, until each has left; `ticks` lie behind them.

    All save after the same ticks, and before who has finished or failed leaves, so that a bundle that was killed goes on in the same
    company from the same tick. A signal drops the steps that are not whole, saves the lanes as they were before, and raises Interrupted.
    Without the memory for a row, half of the lanes wait till the others are done; a lane alone goes on with shorter rows, then, if
    `may_recompute`, with activations that are computed twice; only then NoRoom is raised. With `grow` rows become as long as the memory
    allows, as the first tick showed it.
    """
    riding, saved = list(riders), time.monotonic()
    _joined(shared, riders)
    with progress("training", _steps(riders)) as meter:
        while riding:
            began, short = time.monotonic(), None
            try:
                came = tick(shared, [rider.lane for rider in riding], row_tokens, interruption)
            except Interrupted:
                _clear(riding)
                _all_told(riding, "save", ticks)
                raise
            except NoRoom as error:
                short = error
            if short:
                _clear(riding)
                riding, row_tokens = _with_less(shared, riding, line, ticks, row_tokens, short, may_recompute)
                at_once = len(riding)
                continue
            ticks += 1
            meter.advance(len(came), note=f"{len(riding)} together" if len(riding) > 1 else "")
            tokens = sum(step.tokens for step in came.values() if isinstance(step, Step))
            told = Tick(time.monotonic() - began, tokens, len(riding), row_tokens)
            if grow:
                grow, row_tokens = False, measured(shared, row_tokens, min(row_tokens, tokens))
            staying = [rider for rider in riding if _stepped(rider, came[rider.lane.number], told)]
            stay_on = [rider for rider in staying if not rider.lane.done]
            changes = len(stay_on) < len(riding)
            if (changes and stay_on) or any(rider.due(ticks, time.monotonic() - saved) for rider in staying):
                staying = _all_told(staying, "save", ticks)
                saved = time.monotonic()
            _all_told([rider for rider in staying if rider.lane.done], "finished")
            stay_on = [rider for rider in stay_on if rider in staying]
            if changes or len(stay_on) < len(riding):
                _left(shared, [rider for rider in riding if rider not in stay_on])
                arrived = line.board(stay_on, at_once - len(stay_on), ticks)
                _joined(shared, arrived)
                riding = [*stay_on, *arrived]
                meter.extend(_steps(arrived))


def _with_less(
    shared: Shared, riding: list[Rider], line: Line, ticks: int, row_tokens: int, reason: NoRoom, may_recompute: bool
) -> tuple[list[Rider], int]:
    """Who goes on, with rows of how many tokens, after a row had no room. Raises `reason` where there is nothing left to save."""
    if len(riding) > 1:
        half = (len(riding) + 1) // 2
        staying, going = riding[:half], riding[half:]
        _left(shared, going)
        line.put_back(_all_told(going, "save", ticks))
        print(f"Out of memory: {len(staying)} trials go on together, and {len(going)} after them.", flush=True)
        return staying, row_tokens
    documents = [len(one.input_ids) for one in riding[0].lane.window()]
    row = min(row_tokens, sum(documents))
    if row > max(documents):
        print(f"Out of memory: rows of {row // 2} tokens from now on.", flush=True)
        return riding, row // 2
    if shared.recompute or not may_recompute:
        raise reason
    shared.recompute = True
    print("Out of memory: activations are computed twice from now on, and not kept.", flush=True)
    return riding, row_tokens


def _steps(riders: Sequence[Rider]) -> int:
    return sum(rider.lane.recipe.max_steps - rider.lane.step for rider in riders)


def _joined(shared: Shared, riders: Sequence[Rider]) -> None:
    for rider in riders:
        shared.join(rider.lane.number, rider.lane.adapter)


def _left(shared: Shared, riders: Sequence[Rider]) -> None:
    for rider in riders:
        shared.leave(rider.lane.number)


def _stepped(rider: Rider, step: Step | FloatingPointError, told: Tick) -> bool:
    """Whether it has not failed."""
    if isinstance(step, FloatingPointError):
        rider.failed(step)
        return False
    return _told(rider, rider.stepped, step, told)


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
