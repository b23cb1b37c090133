"""Progress with an estimated end: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY_SECONDS = 15.0
# The first steps load, compile and warm up: what they say of the rest is wrong by a multiple.
STEPS_BEFORE_ESTIMATE = 3

T = TypeVar("T")


class ProgressMeter(Protocol):
    """What `progress` hands out."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` (a loss, say) is shown behind the count."""

    def extend(self, steps: int) -> None:
        """`steps` more are to be done."""


class _Bar:
    def __init__(self, bar: Progress, task: int) -> None:
        self._bar, self._task = bar, task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=steps, note=note)  # type: ignore[arg-type]

    def extend(self, steps: int) -> None:
        total = self._bar.tasks[self._task].total or 0
        self._bar.update(self._task, total=total + steps)  # type: ignore[arg-type]


class _Lines:
    """For logs: at most one line every `LINE_EVERY_SECONDS`, and one at the end."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self._what, self._total, self._done, self._first = what, total, done, done
        self._start = self._shown = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if steps == 0 or (self._done < self._total and now - self._shown < LINE_EVERY_SECONDS):
            return
        self._shown = now
        rest = remaining(now - self._start, self._done - self._first, self._total - self._done)
        estimate = f", about {clock(rest)} left" if rest is not None else ""
        ending = estimate if self._done < self._total else f" in {clock(now - self._start)}"
        print(f"{self._what}: {self._done}/{self._total}{ending}{'  ' + note if note else ''}", file=sys.stderr, flush=True)

    def extend(self, steps: int) -> None:
        self._total += steps


class _Remaining(TimeRemainingColumn):
    """rich's estimate, once it means something."""

    def render(self, task: Task) -> Text:
        if not task.finished and task.completed - task.fields["first"] < STEPS_BEFORE_ESTIMATE:
            return Text("-:--:--", style="progress.remaining")
        return super().render(task)


def remaining(seconds: float, done: int, left: int) -> float | None:
    """Seconds that `left` steps will take when `done` took `seconds`; None while too few are done to tell."""
    return seconds / done * left if done >= STEPS_BEFORE_ESTIMATE else None


def clock(seconds: float) -> str:
    """`75` → `1:15`; hours when there are any."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[ProgressMeter]:
    """Show `what` going from `done` to `total` on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        _Remaining(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield _Bar(bar, bar.add_task(what, total=total, completed=done, note="", first=done))


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield `items` while showing how many of `total` have been taken."""
    with progress(what, total) as meter:
        for item in items:
            yield item
            meter.advance()
