"""Contour: the first objective over the two most important settings, interpolated between finished trials and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import SearchResults, SettingAxis, near_limits, set_setting_axis
from analysis.figure_style import COLUMN_WIDTH, save_figure, styled

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.tri import Triangulation
    from numpy.typing import NDArray

# Fewer points than these make no surface.
LEAST_POINTS = 8
LEVELS = 9


def draw_contour(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_contour.pdf and .png into `folder` and return their paths; no files with fewer than two settings or finished trials.

    Where the importance of settings is not known, the first two of the command are taken. Between choices without order nothing is
    interpolated: the points stand alone.
    """
    if len(search.settings) < 2:
        return []
    first, second = search.settings[:2]
    if sum(first.name in one.values and second.name in one.values for one in search.finished) < 2:
        return []
    with styled():
        return save_figure(_figure(search, first, second), folder, "search_contour")


def _figure(search: SearchResults, first: SettingAxis, second: SettingAxis) -> Figure:
    import matplotlib.pyplot as plt
    import numpy as np
    import seaborn as sns

    own = [one for one in search.finished if first.name in one.values and second.name in one.values]
    x, y = (np.array([setting.place(one.values[setting.name]) for one in own]) for setting in (first, second))
    values = np.array([one.objectives[0] for one in own if one.objectives])
    low, high = near_limits(list(values))
    shown = np.clip(values, low, high)
    shade = "viridis" if search.directions[0] > 0 else "viridis_r"
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.6), layout="constrained")
    set_setting_axis(axes, first)
    set_setting_axis(axes, second, "y")
    axes.scatter(x, y, s=0)
    # The surface would end the axes where it ends, and cut its own points.
    limits = axes.get_xlim(), axes.get_ylim()
    surface = _surface(first, second, x, y)
    if surface is not None and high > low:
        axes.tricontourf(surface, shown, levels=np.linspace(low, high, LEVELS), cmap=shade, alpha=0.75)
    spread = np.random.default_rng(0)
    x = x + (spread.uniform(-0.15, 0.15, len(x)) if first.choices and surface is None else 0)
    y = y + (spread.uniform(-0.15, 0.15, len(y)) if second.choices and surface is None else 0)
    points = axes.scatter(
        x, y, c=shown, cmap=shade, vmin=low, vmax=max(high, low + 1e-12), s=11, edgecolor="white", linewidth=0.4, zorder=3
    )
    chosen = [place for place, one in enumerate(own) if one.number in search.best]
    axes.scatter(x[chosen], y[chosen], s=40, facecolor="none", edgecolor="#d55e00", linewidth=1, zorder=4)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    bar = figure.colorbar(points, ax=axes, label=search.objectives[0].replace("_", " "), fraction=0.05, aspect=25)
    bar.outline.set_visible(False)
    axes.grid(visible=False)
    sns.despine(ax=axes)
    return figure


def _surface(first: SettingAxis, second: SettingAxis, x: NDArray[np.float64], y: NDArray[np.float64]) -> Triangulation | None:
    """Return a triangulation of the points, made where they are drawn (by logarithm on a log scale); None where there is none to make."""
    import matplotlib.tri as tri
    import numpy as np

    if not (first.numeric and second.numeric):
        return None
    scaled = [np.log(one) if setting.log else one for one, setting in ((x, first), (y, second))]
    scaled = [(one - one.min()) / (np.ptp(one) or 1) for one in scaled]
    if len(np.unique(np.stack(scaled).round(9), axis=1).T) < LEAST_POINTS:
        return None
    try:
        made = tri.Triangulation(*scaled)
    except (RuntimeError, ValueError):
        # All on one line.
        return None
    return tri.Triangulation(x, y, made.triangles)
