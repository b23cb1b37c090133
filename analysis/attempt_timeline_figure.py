"""Timeline: when each attempt at each ask ran, and how it ended."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import SearchResults
from analysis.figure_style import COLUMN_WIDTH, GREY, colours, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDS = ("finished", "paused", "pruned", "interrupted", "failed", "no last word")
UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def draw_timeline(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_timeline.pdf and .png into `folder` and return their paths; no files where no attempt says when it began.

    A dot at its beginning alone is an attempt that ended without a last word, or still runs.
    """
    bars = _bars(search)
    if not bars:
        return []
    with styled():
        return save_figure(_figure(bars), folder, "search_timeline")


def _figure(bars: list[tuple[int, float, float | None, str]]) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    zero = min(start for _, start, _, _ in bars)
    last = max(end or start for _, start, end, _ in bars)
    unit, name = next((one for one in UNITS if last - zero >= 2 * one[0]), UNITS[-1])
    asks = [number for number, _, _, _ in bars]
    high = min(5.0, 1.1 + 0.06 * (max(asks) - min(asks) + 1))
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, high), layout="constrained")
    shades = dict(zip(ENDS, [colours(6)[place] for place in (0, 1, 4, 2, 3)] + [GREY], strict=True))
    thick = max(0.6, min(4.0, 55 * high / (max(asks) - min(asks) + 4)))
    for end in ENDS:
        own = [one for one in bars if one[3] == end]
        for place, (number, start, stop, _) in enumerate(own):
            label = end if place == 0 else "_"
            at = (start - zero) / unit
            if stop is None:
                axes.plot([at], [number], marker=".", markersize=4, linestyle="none", color=shades[end], label=label)
            else:
                axes.hlines(number, at, (stop - zero) / unit, color=shades[end], linewidth=thick, label=label)
    axes.set_xlabel(f"{name} since the first attempt")
    axes.set_ylabel("ask")
    axes.set_ylim(max(asks) + 0.7, min(asks) - 0.7)
    axes.locator_params(axis="y", integer=True)
    axes.grid(axis="y", visible=False)
    sns.despine(ax=axes)
    figure.legend(loc="outside lower center", ncol=4, frameon=False, handlelength=1.2, columnspacing=1)
    return figure


def _bars(search: SearchResults) -> list[tuple[int, float, float | None, str]]:
    """Return (ask, start, end, how it ended) of all attempts, in seconds; the end is None of one without a last word."""
    found = []
    for trial in search.trials:
        for attempt in trial.attempts:
            start, stop = _seconds(attempt.get("started")), _seconds(attempt.get("ended"))
            if start is None:
                continue
            status = str(attempt.get("status"))
            end = str(attempt.get("cause")) if attempt.get("cause") in ("paused", "pruned") else status
            found.append((trial.number, start, stop, end if stop is not None and end in ENDS else "no last word"))
    return found


def _seconds(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return None
