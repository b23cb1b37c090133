"""A bundle from its first step to its last: lanes that finish, fail or are overtaken leave, and who waits takes their place."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from persona_exp.modeling.bundle.shared import Shared
from persona_exp.progress import Meter, progress
from persona_exp.training.fused.lane import Lane, Step
from persona_exp.training.fused.row_length import measured
from persona_exp.training.fused.tick import NoRoom, rows, tick
from persona_exp.training.interruption import Interrupted, Interruption

# Rows of several lanes are made no shorter than that before some of the lanes wait.
SHORT_ROW = 512


@dataclass(frozen=True)
class Tick:
    """One step of each lane: `lanes` took `seconds` for `tokens`, at most `row_tokens` of them at once."""

    seconds: float
    tokens: int
    lanes: int
    row_tokens: int


class Rider(Protocol):
    """Whose lane it is, of the same number. What one raises is told to it by `failed`, and touches no other."""

    number: int
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

    def left(self) -> None:
        """It rides no more: its lane is not asked for again."""


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
    may_yield: bool = True,
    may_recompute: bool = True,
    interruption: Interruption,
) -> None:
    """Train the lanes of `riders`, and at most `at_once` together of those who wait, until each has left; `ticks` lie behind them.

    All save after the same ticks, and before who has finished or failed leaves, so that a bundle that was killed goes on in the same
    company from the same tick. A signal drops the steps that are not whole, saves the lanes as they were before, and raises Interrupted.
    Without the memory for a row NoRoom is raised, unless the bundle `may_yield`: then rows become shorter, then half of the lanes wait till
    the others are done; for a lane alone rows become as short as a document, then, if `may_recompute`, activations are computed twice; a
    lane that has no room even so fails. With `grow` rows become as long as the memory allows, as the second tick shows it.
    """
    if not riders:
        return
    riding, saved, began_at, longest = list(riders), time.monotonic(), ticks, 0
    _joined(shared, riders)
    with progress("training", _steps(riders)) as meter:
        while riding:
            began, short = time.monotonic(), None
            if grow:
                longest = max(longest, _longest_row(riding, row_tokens))
            try:
                came = tick(shared, [rider.lane for rider in riding], row_tokens, interruption)
            except Interrupted:
                _clear(riding)
                _all_told(riding, "save", ticks)
                raise
            except NoRoom as error:
                short = error
            if short:
                if not may_yield:
                    raise short
                _clear(riding)
                riding, row_tokens = _with_less(shared, riding, line, ticks, row_tokens, short, may_recompute)
                at_once, grow = min(at_once, max(1, len(riding))), False
                riding = riding or _boarded(shared, line, riding, at_once, ticks, meter)
                continue
            ticks += 1
            meter.advance(len(came), note=f"{len(riding)} together" if len(riding) > 1 else "")
            tokens = sum(step.tokens for step in came.values() if isinstance(step, Step))
            told = Tick(time.monotonic() - began, tokens, len(riding), row_tokens)
            if grow and ticks - began_at == 2:
                # With all that the optimisers keep, which the first row was not beside.
                grow, row_tokens = False, measured(shared, row_tokens, longest)
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
                riding = _boarded(shared, line, stay_on, at_once, ticks, meter)


def _boarded(shared: Shared, line: Line, riding: Sequence[Rider], at_once: int, ticks: int, meter: Meter) -> list[Rider]:
    """Those who ride, and with them those who take the places that are free."""
    arrived = line.board(riding, at_once - len(riding), ticks)
    _joined(shared, arrived)
    meter.extend(_steps(arrived))
    return [*riding, *arrived]


def _with_less(
    shared: Shared, riding: list[Rider], line: Line, ticks: int, row_tokens: int, reason: NoRoom, may_recompute: bool
) -> tuple[list[Rider], int]:
    """Who goes on, with rows of how many tokens, after a row had no room: nobody where there is nothing left to save."""
    documents = [len(one.input_ids) for rider in riding for one in rider.lane.window()]
    row, least = min(row_tokens, sum(documents)), max(documents)
    if row > max(least, SHORT_ROW if len(riding) > 1 else 0):
        row = max(row // 2, least)
        print(f"Out of memory: rows of {row} tokens from now on.", flush=True)
        return riding, row
    if len(riding) > 1:
        half = (len(riding) + 1) // 2
        staying, going = riding[:half], riding[half:]
        line.put_back(_all_told(going, "save", ticks))
        _left(shared, going)
        print(f"Out of memory: {len(staying)} trials go on together, and {len(going)} after them.", flush=True)
        return staying, row_tokens
    if may_recompute and not shared.recompute:
        shared.recompute = True
        print("Out of memory: activations are computed twice from now on, and not kept.", flush=True)
        return riding, row_tokens
    riding[0].failed(reason)
    _left(shared, riding)
    return [], row_tokens


def _longest_row(riders: Sequence[Rider], row_tokens: int) -> int:
    """Tokens of the longest row of the next tick."""
    documents = [one for rider in riders for one in rider.lane.window()]
    return max(sum(len(one.input_ids) for one in row) for row in rows(documents, row_tokens))


def _steps(riders: Sequence[Rider]) -> int:
    return sum(rider.lane.recipe.max_steps - rider.lane.step for rider in riders)


def _joined(shared: Shared, riders: Sequence[Rider]) -> None:
    for rider in riders:
        shared.join(rider.lane.number, rider.lane.adapter)


def _left(shared: Shared, riders: Sequence[Rider]) -> None:
    for rider in riders:
        shared.leave(rider.number)
        rider.left()


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
