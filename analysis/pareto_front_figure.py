"""The Pareto front of a search with two objectives or more: the first two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.asked_trials import AskedTrial, SearchResults, near_limits
from analysis.figure_style import COLUMN_WIDTH, GREY, colours, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_pareto_front(search: SearchResults, folder: Path) -> list[Path]:
    """Write search_pareto.pdf and .png into `folder` and return their paths; no files with one objective, or without a front.

    The stairs are what nothing that was found is better than, of two objectives alone. Crosses break a constraint.
    """
    if len(search.objectives) < 2 or not search.best:
        return []
    with styled():
        return save_figure(_figure(search), folder, "search_pareto")


def _figure(search: SearchResults) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.6), layout="constrained")
    shade = colours(4)
    limits = [_limits(search, place) for place in (0, 1)]

    def scatter(own: list[AskedTrial], label: str, **style: Any) -> None:
        """Draw trials, those that are further out than the axes go as triangles at their edge."""
        for inside, marker in ((True, style.get("marker", "o")), (False, "^")):
            points = [_inside(one, limits) for one in own]
            kept = [(x, y) for x, y, within in points if within is inside]
            if kept:
                shown = {**style, "marker": marker, "label": label if inside else "further out"}
                axes.scatter([x for x, _ in kept], [y for _, y in kept], clip_on=False, **shown)

    others = [one for one in search.finished if one.number not in search.best]
    scatter([one for one in others if one.feasible], "another is better in all", s=9, color=GREY, alpha=0.45, linewidth=0)
    scatter([one for one in others if not one.feasible], "breaks a constraint", s=12, color=shade[3], marker="x", linewidth=0.7)
    front = sorted(one.objectives[:2] for one in search.finished if one.objectives and one.number in search.best)
    x, y = [one[0] for one in front], [one[1] for one in front]
    if len(search.objectives) == 2 and len(front) > 1:
        axes.step(x, y, where="post" if search.directions[0] > 0 else "pre", color=shade[0], linewidth=0.7)
    axes.scatter(x, y, s=16, color=shade[0], zorder=3, label="Pareto front", clip_on=False)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    ways = ["lower is better" if sign > 0 else "higher is better" for sign in search.directions]
    axes.set_xlabel(f"{search.objectives[0].replace('_', ' ')} ({ways[0]})")
    axes.set_ylabel(f"{search.objectives[1].replace('_', ' ')} ({ways[1]})")
    sns.despine(ax=axes)
    figure.legend(loc="outside lower center", ncol=3, frameon=False, handlelength=1.2, columnspacing=1)
    return figure


def _limits(search: SearchResults, place: int) -> tuple[float, float]:
    """Return how far an axis goes: to all of the front, and to all others that are not far out."""
    values = [one.objectives[place] for one in search.finished if one.objectives]
    front = [one.objectives[place] for one in search.finished if one.objectives and one.number in search.best]
    low, high = near_limits(values)
    low, high = min(low, min(front)), max(high, max(front))
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def _inside(trial: AskedTrial, limits: list[tuple[float, float]]) -> tuple[float, float, bool]:
    """Return where a trial is drawn within the axes' limits, and whether it really is there."""
    assert trial.objectives
    x, y = (min(max(value, low), high) for value, (low, high) in zip(trial.objectives[:2], limits, strict=True))
    return x, y, (x, y) == trial.objectives[:2]
