"""Parallel coordinates: a line a finished trial through its settings to its objective."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import AskedTrial, SearchResults, SettingAxis, near_limits
from analysis.figure_style import COLUMN_WIDTH, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SETTINGS = 7
# Ink below which a line cannot be seen any more.
FAINTEST = 0.15
# Of the drawing, where axes go from 0 to 1; lines of trials without a setting pass at BELOW.
BOTTOM, BELOW, TOP = -0.1, -0.06, 1.04


def draw_parallel_coordinates(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_parallel.pdf and .png into `folder` and return their paths; no files with fewer than two settings or finished trials.

    Lines are coloured by the first objective; of the best they are thick. A line that passes below a setting's axis is of a trial without
    that setting.
    """
    if len(search.finished) < 2 or len(search.settings) < 2:
        return []
    with styled():
        return save_figure(_figure(search), folder, "search_parallel")


def _figure(search: SearchResults) -> Figure:
    import matplotlib.pyplot as plt
    from matplotlib.colors import Normalize

    settings, sign = search.settings[:MOST_SETTINGS], search.directions[0]
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH * (1 + 0.14 * max(0, len(settings) - 2)), 2.5), layout="constrained")
    low, high = near_limits([one.objectives[0] for one in search.finished if one.objectives])
    shade = plt.get_cmap("viridis" if sign > 0 else "viridis_r")
    scale = Normalize(low, high if high > low else low + 1)
    # The best are drawn last, above the others.
    for one in sorted(search.finished, key=lambda one: -sign * one.objectives[0] if one.objectives else 0.0):
        assert one.objectives
        at = min(max(one.objectives[0], low), high)
        places = [*(_height(one, setting) for setting in settings), (at - low) / (high - low) if high > low else 0.5]
        chosen = one.number in search.best
        ink = 1.0 if chosen else max(FAINTEST, min(0.7, 40 / len(search.finished)))
        axes.plot(
            range(len(places)), places, color=shade(scale(at)), alpha=ink, linewidth=1.8 if chosen else 0.7, zorder=3 if chosen else 2
        )
    for place, setting in enumerate(settings):
        _name_axis(axes, place, setting)
    for height in (0.0, 0.5, 1.0):
        axes.text(len(settings) + 0.05, height, f"{low + height * (high - low):.3g}", fontsize=6, va="center")
    axes.axvline(len(settings), color="#333333", linewidth=0.7, ymin=-BOTTOM / (TOP - BOTTOM), ymax=(1 - BOTTOM) / (TOP - BOTTOM))
    names = [*(one.short_name for one in settings), search.objectives[0].replace("_", " ")]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.25, len(settings) + 0.45)
    axes.set_ylim(BOTTOM, TOP)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.tick_params(axis="x", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _height(trial: AskedTrial, setting: SettingAxis) -> float:
    return setting.unit(trial.values[setting.name]) if setting.name in trial.values else BELOW


def _name_axis(axes: Axes, place: int, setting: SettingAxis) -> None:
    axes.axvline(place, color="#333333", linewidth=0.7, ymin=-BOTTOM / (TOP - BOTTOM), ymax=(1 - BOTTOM) / (TOP - BOTTOM))
    if setting.choices:
        named = [(setting.unit(choice), choice[:14]) for choice in setting.choices]
        named = named if len(named) <= 9 else [named[0], named[-1]]
    else:
        middle = (setting.low * setting.high) ** 0.5 if setting.log else (setting.low + setting.high) / 2
        named = [(setting.unit(value), f"{value:.2g}") for value in (setting.low, middle, setting.high)]
    for height, text in named:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.text(place + 0.03, height, text, fontsize=6, va="center", bbox=box, zorder=4)
