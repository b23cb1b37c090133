"""The status of a sweep on the screen: a live table on a terminal, a line now and then in a log."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from persona_exp.control_characters import escaped, escaped_text
from persona_exp.progress_bar import LINE_EVERY_SECONDS, clock
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# Rows are shown in this order; what the terminal has no room for is counted.
ORDER = ("running", "failed", "interrupted", "cancelled", "missing", "queued", "sealed", "pruned", "finished")
COLUMNS = ("trial", "overrides", "state", "step", "loss", "ETA", "GPU-h", "node")
RIGHT = ("step", "loss", "ETA", "GPU-h")
# Where a terminal is too narrow these give way, as long as that is enough.
CUT = ("overrides", "state")
# In a log, so many of the places at which running trials are.
STEPS_SHOWN = 4
# And again when this part of the time until then has gone by once more: that of a long sweep stays short.
AGAIN = 0.05
# Lines that a table needs besides its rows: title, header, rules, caption.
FRAME = 8


class Screen(Protocol):
    """What `live_status` yields."""

    def show(self, states: Sequence[TrialStatus], pending: Mapping[str, str] | None = None) -> None:
        """Show the states of the sweep's trials now; `pending` has of trials in Slurm's queue why they are pending."""


@contextmanager
def live_status(name: str, titles: Mapping[str, str], hint: str = "") -> Iterator[Screen]:
    """Yield a screen that shows the trials of sweep `name`; `titles` by trial id. `hint` stands below the table as long as it lives."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        yield _Lines(name, titles)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield _Live(name, titles, hint, console, lambda shown: live.update(shown, refresh=True))


def status_of(state: TrialStatus, pending: Mapping[str, str]) -> str:
    """Return the trial's status: `queued` by Slurm's queue, else the recorded one."""
    return "queued" if state.trial_id in pending and state.status in ("sealed", "interrupted") else state.status


def counts(states: Sequence[TrialStatus], pending: Mapping[str, str]) -> str:
    """Return `3 running, 1 failed, 12 queued`."""
    found = Counter(status_of(state, pending) for state in states)
    return ", ".join(f"{found[status]} {status}" for status in ORDER if found[status])


def table(
    name: str, titles: Mapping[str, str], states: Sequence[TrialStatus], pending: Mapping[str, str], rows: int, hint: str = ""
) -> "Table":
    """Return a table of at most `rows` trials, those that run first; the others as a count below."""
    from rich.table import Table

    has_gpu, over = any(state.gpus for state in states), all(state.status in ENDED_STATUSES for state in states)
    columns = [name for name in COLUMNS if name != "GPU-h" or has_gpu]
    shown = Table(
        title=escaped_text(f"{name}: {counts(states, pending)}"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        shown.add_column(column, justify="right" if column in RIGHT else "left", no_wrap=column not in CUT, overflow="ellipsis")
    ordered = sorted(states, key=lambda state: ORDER.index(status_of(state, pending)))
    for state in ordered[:rows]:
        cells = _cells(state, titles, pending)
        shown.add_row(*(escaped_text(cells[column], no_wrap=column != "state", overflow="ellipsis") for column in columns))
    left_out, gpu_hours = ordered[rows:], sum(state.gpu_hours for state in states)
    totals = [f"and {len(left_out)} more: {counts(left_out, pending)}"] if left_out else []
    totals += [f"{gpu_hours:.2f} GPU-hours{'' if over else ' so far'}"] if has_gpu else []
    caption = [f"{'; '.join(totals)}."] if totals else []
    shown.caption = " ".join([*caption, *([hint] if hint and not over else [])]) or None
    shown.caption_justify = "left"
    return shown


def _cells(state: TrialStatus, titles: Mapping[str, str], pending: Mapping[str, str]) -> dict[str, str]:
    status = status_of(state, pending)
    shown_status = f"queued ({pending[state.trial_id]})" if status == "queued" and pending[state.trial_id] else status
    if status == "running" and state.phase:
        shown_status = state.phase
    elif status not in ("queued", "finished") and state.cause:
        shown_status = f"{status} ({state.cause})"
    return {
        "trial": state.trial_id,
        "overrides": titles.get(state.trial_id, ""),
        "state": shown_status,
        "step": _step(state) if state.step is not None else "",
        "loss": f"{state.loss:.3f}" if state.loss is not None else "",
        "ETA": clock(state.eta_seconds) if state.eta_seconds is not None and status == "running" else "",
        "GPU-h": f"{state.gpu_hours:.2f}" if state.gpus else "",
        "node": (state.host or "") if status == "running" else "",
    }


def progress_text(states: Sequence[TrialStatus]) -> str:
    """Return `step 26/40 (1:10 left), evaluating ×2, 3 more` of the running trials that record their progress."""
    places = Counter(_place(state) for state in states if state.status == "running" and state.phase)
    first = list(places)[:STEPS_SHOWN]
    more = places.total() - sum(places[one] for one in first)
    return ", ".join([*(one if places[one] == 1 else f"{one} ×{places[one]}" for one in first), *([f"{more} more"] if more else [])])


def _place(state: TrialStatus) -> str:
    if state.phase != "training" or state.step is None:
        return str(state.phase)
    return f"step {_step(state)}" + (f" ({clock(state.eta_seconds)} left)" if state.eta_seconds is not None else "")


def _step(state: TrialStatus) -> str:
    return f"{state.step}/{state.max_steps or '?'}"


class _Live:
    def __init__(self, name: str, titles: Mapping[str, str], hint: str, console: "Console", update: "_Update") -> None:
        self._name, self._titles, self._hint, self._console, self._update = name, titles, hint, console, update

    def show(self, states: Sequence[TrialStatus], pending: Mapping[str, str] | None = None) -> None:
        rows = max(3, self._console.height - FRAME)
        self._update(table(self._name, self._titles, states, pending or {}, rows, self._hint))


class _Lines:
    """At most one line every `LINE_EVERY_SECONDS`, when something has changed, for steps alone more and more seldom; failures at
    once, one line each."""

    def __init__(self, name: str, titles: Mapping[str, str]) -> None:
        self._name, self._titles, self._failed = name, titles, set[tuple[str, int]]()
        self._counted, self._place, self._shown, self._began = "", "", float("-inf"), time.monotonic()

    def show(self, states: Sequence[TrialStatus], pending: Mapping[str, str] | None = None) -> None:
        for state in states:
            if state.status == "failed" and (state.trial_id, state.attempt) not in self._failed:
                self._failed.add((state.trial_id, state.attempt))
                title = self._titles.get(state.trial_id, "")
                print(escaped(f"trial {state.trial_id} ({title}) failed: {state.message or state.cause}"), flush=True)
        counted, far, at = counts(states, pending or {}), progress_text(states), time.monotonic()
        pause = LINE_EVERY_SECONDS if counted != self._counted else max(LINE_EVERY_SECONDS, AGAIN * (at - self._began))
        ended = all(state.status in ENDED_STATUSES for state in states)
        if (counted, far) == (self._counted, self._place) or (not ended and at - self._shown < pause):
            return
        self._counted, self._place, self._shown = counted, far, at
        print(f"{time.strftime('%H:%M:%S')}  {self._name}: {counted}{'; ' + far if far else ''}", flush=True)


class _Update(Protocol):
    def __call__(self, shown: "RenderableType", /) -> None: ...
