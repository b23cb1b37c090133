"""Optimisation history: the objective of each ask, and the best so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.asked_trials import SearchResults, limit_axis
from analysis.figure_style import COLUMN_WIDTH, GREY, colours, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# States without an objective, marked below the axis, and how.
WITHOUT_OBJECTIVE = {"pruned": "x", "paused": "s", "failed": "v", "refused": "_", "damaged": "|"}


def draw_history(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_history.pdf and .png into `folder` and return their paths; no files where nothing has finished.

    With several objectives each has a panel, and its own best so far. Hollow points break a constraint; triangles at the edge are further
    out than the axis goes. Asks without an objective are marked below.
    """
    if not any(one.number >= 0 for one in search.finished):
        return []
    with styled():
        return save_figure(_figure(search), folder, "search_history")


def _figure(search: SearchResults) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    count = len(search.objectives)
    figure, panels = plt.subplots(count, 1, figsize=(COLUMN_WIDTH, 0.7 + 1.7 * count), layout="constrained", sharex=True, squeeze=False)
    for place, axes in enumerate(panels[:, 0]):
        _panel(search, place, axes)
        sns.despine(ax=axes)
    panels[-1, 0].set_xlabel("ask")
    handles = {label: handle for axes in panels[:, 0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncol=4, frameon=False, handlelength=1.4, columnspacing=1)
    return figure


def _panel(search: SearchResults, place: int, axes: Axes) -> None:
    sign, shades = search.directions[place], colours(4)
    asked = [one for one in search.finished if one.number >= 0]
    values = [one.objectives[place] for one in asked if one.objectives]
    warm = [one.objectives[place] for one in search.finished if one.number < 0 and one.objectives]
    drawn = limit_axis(axes, [*values, *warm])
    for feasible, face, label in ((True, shades[0], "finished"), (False, "none", "breaks a constraint")):
        own = [(one.number, y, y == value) for one, value, y in zip(asked, values, drawn, strict=False) if one.feasible is feasible]
        for inside, marker in ((True, "o"), (False, "^")):
            points = [(x, y) for x, y, within in own if within is inside]
            if points:
                name = label if inside else "further out"
                x, y = zip(*points, strict=True)
                axes.scatter(
                    x, y, s=9, marker=marker, facecolor=face, edgecolor=shades[0], linewidth=0.6, label=name, clip_on=False, zorder=3
                )
    best, steps = (min(sign * one for one in warm) if warm else None), []
    if warm:
        axes.axhline(sign * min(sign * one for one in warm), color=GREY, linewidth=0.7, linestyle=":", label="best warm start")
    for one, value in zip(asked, values, strict=True):
        if one.feasible and (best is None or sign * value < best):
            best = sign * value
        if best is not None:
            steps.append((one.number, sign * best))
    if steps:
        numbers, reached = zip(*[*steps, (search.trials[-1].number, steps[-1][1])], strict=True)
        axes.step(numbers, reached, where="post", color=shades[3], linewidth=1, label="best so far")
    low = axes.get_ylim()[0]
    for state, marker in WITHOUT_OBJECTIVE.items():
        without = [one.number for one in search.trials if one.state == state]
        if without:
            axes.plot(
                without, [low] * len(without), linestyle="none", marker=marker, markersize=3.5, color=GREY, label=state, clip_on=False
            )
    axes.set_ylabel(search.objectives[place].replace("_", " "))
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="x", visible=False)
