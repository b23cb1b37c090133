"""Slices: each objective over each setting, one point a finished trial, later asks darker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import SearchResults, limit_axis, set_setting_axis
from analysis.figure_style import COLUMN_WIDTH, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Settings with a panel, the most important ones, and panels in a row.
MOST_SETTINGS, IN_A_ROW = 9, 3


def draw_slices(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_slices.pdf and .png into `folder` and return their paths; no files where fewer than two trials have finished.

    A trial that does not have a setting is not in its panel. Triangles at the edge are further out than the axis goes; the best are ringed.
    """
    if len(search.finished) < 2 or not search.settings:
        return []
    with styled():
        return save_figure(_figure(search), folder, "search_slices")


def _figure(search: SearchResults) -> Figure:
    import matplotlib.pyplot as plt
    import numpy as np
    import seaborn as sns
    from matplotlib.colors import ListedColormap

    settings = search.settings[:MOST_SETTINGS]
    columns = min(IN_A_ROW, len(settings))
    bands = -(-len(settings) // columns)
    rows = bands * len(search.objectives)
    width = COLUMN_WIDTH * (1 if columns == 1 else 1.25 if columns == 2 else 1.9)
    figure, panels = plt.subplots(rows, columns, figsize=(width, 0.5 + 1.55 * rows), layout="constrained", squeeze=False, sharey="row")
    generator, last = np.random.default_rng(0), max(1, *(one.number for one in search.finished))
    # The palest could not be seen.
    blues = ListedColormap(plt.get_cmap("Blues")(np.linspace(0.3, 1, 128)))
    points = None
    for objective, name in enumerate(search.objectives):
        for place, setting in enumerate(settings):
            axes = panels[objective * bands + place // columns, place % columns]
            own = [one for one in search.finished if setting.name in one.values]
            values = [one.objectives[objective] for one in search.finished if one.objectives]
            if not own:
                axes.set_visible(False)
                continue
            limit_axis(axes, values)
            low, high = axes.get_ylim()
            spread = generator.uniform(-0.18, 0.18, len(own)) if setting.choices else np.zeros(len(own))
            x = np.array([setting.place(one.values[setting.name]) for one in own]) + spread
            y = np.array([one.objectives[objective] for one in own if one.objectives])
            order = np.array([max(one.number, 0) for one in own])
            for inside, marker in ((True, "o"), (False, "^")):
                here = ((y >= low) & (y <= high)) == inside
                if here.any():
                    points = axes.scatter(
                        x[here],
                        np.clip(y[here], low, high),
                        c=order[here],
                        cmap=blues,
                        vmin=0,
                        vmax=last,
                        s=10,
                        marker=marker,
                        edgecolor="#33333388",
                        linewidth=0.3,
                        clip_on=False,
                        zorder=3,
                    )
            chosen = [at for at, one in enumerate(own) if one.number in search.best]
            axes.scatter(x[chosen], np.clip(y[chosen], low, high), s=34, facecolor="none", edgecolor="#d55e00", linewidth=0.9, zorder=4)
            set_setting_axis(axes, setting)
            if place % columns == 0:
                axes.set_ylabel(name.replace("_", " "))
            axes.grid(axis="x", visible=False)
            sns.despine(ax=axes)
    for extra in range(len(settings), bands * columns):
        for objective in range(len(search.objectives)):
            panels[objective * bands + extra // columns, extra % columns].set_visible(False)
    if points is not None:
        bar = figure.colorbar(points, ax=panels, label="ask", fraction=0.04, aspect=30)
        bar.outline.set_visible(False)
    return figure
