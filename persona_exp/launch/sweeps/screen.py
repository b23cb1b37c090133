"""How a sweep stands, on the screen: a live table on a terminal, a line now and then in a log."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from persona_exp.progress import LINE_EVERY_SECONDS, clock
from persona_exp.trial.state import ENDED, State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# Rows are shown in this order; what the terminal has no room for is counted.
ORDER = ("running", "failed", "interrupted", "cancelled", "missing", "queued", "sealed", "pruned", "finished")
# Lines that a table needs besides its rows: title, header, rules, caption.
FRAME = 8


class Screen(Protocol):
    """What `screen` hands out."""

    def show(self, states: Sequence[State], waiting: Mapping[str, str] | None = None) -> None:
        """The states of the sweep's trials now; `waiting` says of trials in Slurm's queue why they wait."""


@contextmanager
def screen(name: str, titles: Mapping[str, str], hint: str = "") -> Iterator[Screen]:
    """Show the trials of sweep `name`; `titles` by trial id. `hint` stands below the table as long as it lives."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        yield _Lines(name, titles)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield _Live(name, titles, hint, console, lambda shown: live.update(shown, refresh=True))


def status_of(state: State, waiting: Mapping[str, str]) -> str:
    """`queued` is read off Slurm's queue: for the rest, the trial's own word."""
    return "queued" if state.trial_id in waiting and state.status in ("sealed", "interrupted") else state.status


def counts(states: Sequence[State], waiting: Mapping[str, str]) -> str:
    """`3 running, 1 failed, 12 queued`."""
    found = Counter(status_of(state, waiting) for state in states)
    return ", ".join(f"{found[status]} {status}" for status in ORDER if found[status])


def table(name: str, titles: Mapping[str, str], states: Sequence[State], waiting: Mapping[str, str], rows: int, hint: str = "") -> "Table":
    """At most `rows` trials, those that run first; the others as a count below."""
    from rich.table import Table
    from rich.text import Text

    gpu_hours = sum(state.gpu_hours for state in states)
    shown = Table(title=f"{name}: {counts(states, waiting)}", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, right in (("trial", 0), ("overrides", 0), ("state", 0), ("step", 1), ("loss", 1), ("ETA", 1), ("GPU-h", 1), ("node", 0)):
        shown.add_column(title, justify="right" if right else "left", no_wrap=title != "state", overflow="ellipsis")
    ordered = sorted(states, key=lambda state: ORDER.index(status_of(state, waiting)))
    for state in ordered[:rows]:
        shown.add_row(*map(Text, _cells(state, titles, waiting)))
    left_out = ordered[rows:]
    caption = f"and {len(left_out)} more: {counts(left_out, waiting)}; " if left_out else ""
    over = all(state.status in ENDED for state in states)
    shown.caption = f"{caption}{gpu_hours:.2f} GPU-hours{'.' if over else f' so far. {hint}'}"
    shown.caption_justify = "left"
    return shown


def _cells(state: State, titles: Mapping[str, str], waiting: Mapping[str, str]) -> tuple[str, ...]:
    status = status_of(state, waiting)
    told = f"queued ({waiting[state.trial_id]})" if status == "queued" and waiting[state.trial_id] else status
    if status == "running" and state.phase:
        told = state.phase
    elif status not in ("queued", "finished") and state.cause:
        told = f"{status} ({state.cause})"
    step = f"{state.step}/{state.max_steps or '?'}" if state.step is not None else ""
    left = clock(state.eta_seconds) if state.eta_seconds is not None and status == "running" else ""
    return (
        state.trial_id,
        titles.get(state.trial_id, ""),
        told,
        step,
        f"{state.loss:.3f}" if state.loss is not None else "",
        left,
        f"{state.gpu_hours:.2f}" if state.gpus else "",
        (state.host or "") if status == "running" else "",
    )


class _Live:
    def __init__(self, name: str, titles: Mapping[str, str], hint: str, console: "Console", update: "_Update") -> None:
        self._name, self._titles, self._hint, self._console, self._update = name, titles, hint, console, update

    def show(self, states: Sequence[State], waiting: Mapping[str, str] | None = None) -> None:
        rows = max(3, self._console.height - FRAME)
        self._update(table(self._name, self._titles, states, waiting or {}, rows, self._hint))


class _Lines:
    """At most one line every `LINE_EVERY_SECONDS`, when something has changed; what failed is told at once, one line each."""

    def __init__(self, name: str, titles: Mapping[str, str]) -> None:
        self._name, self._titles, self._told, self._shown, self._failed = name, titles, "", float("-inf"), set[tuple[str, int]]()

    def show(self, states: Sequence[State], waiting: Mapping[str, str] | None = None) -> None:
        for state in states:
            if state.status == "failed" and (state.trial_id, state.attempt) not in self._failed:
                self._failed.add((state.trial_id, state.attempt))
                title = self._titles.get(state.trial_id, "")
                print(f"trial {state.trial_id} ({title}) failed: {state.message or state.cause}", flush=True)
        told, at = counts(states, waiting or {}), time.monotonic()
        ended = all(state.status in ENDED for state in states)
        if told == self._told or (not ended and at - self._shown < LINE_EVERY_SECONDS):
            return
        self._told, self._shown = told, at
        print(f"{time.strftime('%H:%M:%S')}  {self._name}: {told}", flush=True)


class _Update(Protocol):
    def __call__(self, shown: "RenderableType", /) -> None: ...
