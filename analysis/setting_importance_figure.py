"""Importance of settings, with the 95 % band over resampled trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import SearchResults
from analysis.figure_style import COLUMN_WIDTH, GREY, colours, save_figure, shortened, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_importance(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_importance.pdf and .png into `folder` and return their paths; no files where importance cannot be said.

    Grey bars are no higher than with shuffled objectives.
    """
    if not search.ranked:
        return []
    with styled():
        return save_figure(_figure(search), folder, "search_importance")


def _figure(search: SearchResults) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    settings = search.importance["settings"]
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 0.9 + 0.24 * len(settings)), layout="constrained")
    shade = colours(1)[0]
    for place, one in enumerate(settings):
        colour = shade if one["beyond_chance"] else "#b8b8b8"
        axes.barh(place, 100 * one["share"], height=0.6, color=colour)
        axes.hlines(place, 100 * one["low"], 100 * one["high"], color="black" if one["beyond_chance"] else GREY, linewidth=0.8)
    axes.set_yticks(range(len(settings)), [shortened(one["name"]) for one in settings])
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    chance = "\ngrey: no more than with shuffled objectives" if not all(one["beyond_chance"] for one in settings) else ""
    axes.set_xlabel(f"share of importance (%), n={search.importance['trials']}{chance}")
    axes.grid(axis="y", visible=False)
    sns.despine(ax=axes)
    return figure
