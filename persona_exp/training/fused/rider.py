"""Whose lane it is, what it is told on the way, and the line of those who wait for a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from persona_exp.training.fused.lane import Lane, Step


@dataclass(frozen=True)
class Tick:
    """One step of each lane: `lanes` took `seconds` for `tokens`, at most `row_tokens` of them at once."""

    seconds: float
    tokens: int
    lanes: int
    row_tokens: int


@dataclass(frozen=True)
class Look:
    """Of one lane at what it does not learn from: the mean `loss` (nats), in `seconds`."""

    loss: float
    seconds: float


class Rider(Protocol):
    """Whose lane it is, of the same number. What one raises is told to it by `failed`, and touches no other."""

    number: int
    lane: Lane

    def stepped(self, step: Step, tick: Tick) -> None:
        """After each optimiser step, which was taken in `tick`."""

    def looked(self, look: Look) -> None:
        """After a look at what it does not learn from."""

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
