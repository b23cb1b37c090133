"""The ablation figure: a point and a 95 % interval for each setting, the base model as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.frame import number, shown
from analysis.rows import Row, ordered_values
from analysis.statistics import Estimate
from analysis.style import COLUMN_WIDTH, GREY, MARKERS, colours, save, short, spread, styled
from analysis.table import plain, warning
from persona_exp.files import canonical_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = {"base": ":", "base+system": "--"}

# Inches: what names on both sides leave of the column, and one digit of a tick label.
AXES_WIDTH = 2.4
DIGIT_WIDTH = 0.065
LABELS = {"base": "base", "base+system": "base +\nsystem"}

POINT: dict[str, Any] = {"marker": "o", "markersize": 3.5, "elinewidth": 0.9, "capsize": 2, "linestyle": "none"}
HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "linestyle": "none", "zorder": 4}
TICKS: dict[str, dict[str, Any]] = {"base": {"marker": "d", "markersize": 3}, "base+system": {"marker": "|", "markersize": 8}}


def draw(rows: Sequence[Row], keys: Sequence[str], folder: Path) -> list[Path]:
    """Write figure.pdf and figure.png into `folder` and give their paths.

    A swept key with numbers lies on x (log2 where its values are powers of two), the others tell series apart; without numbers,
    settings are listed one under the other. Where base models or data differ, the figure shows bits/byte, which compares. A
    hollow point is not separable from the base model with the system prompt.
    """
    with styled():
        adapters = [row for row in rows if row.condition == "adapter"]
        key = numeric_key(adapters, keys)
        if not any(row.items for row in rows):
            figure = _nothing()
        elif key is None or _bases_differ(rows):
            figure = _listed(rows, adapters, keys)
        else:
            figure = _along(rows, adapters, key, [other for other in keys if other != key])
        return save(figure, folder, "figure")


def numeric_key(adapters: Sequence[Row], keys: Sequence[str]) -> str | None:
    """The first swept key that has two or more values, all numbers; else the first all of whose values are numbers."""
    values = {key: ordered_values([row.overrides.get(key) for row in adapters]) for key in keys}
    numeric = [key for key in keys if values[key] and all(number(value) is not None for value in values[key])]
    return next((key for key in numeric if len(values[key]) > 1), next(iter(numeric), None))


def scale(values: Sequence[float]) -> str:
    """`log2` for distinct powers of two, `log10` for positive values over more than a factor of ten, else `linear`."""
    if len(values) > 1 and all(value > 0 and math.log2(value).is_integer() for value in values):
        return "log2"
    if len(values) > 1 and min(values) > 0 and max(values) / min(values) > 10:
        return "log10"
    return "linear"


def _bases_differ(rows: Sequence[Row]) -> bool:
    return len({_ground(row) for row in rows if row.condition == "base+system" and row.items}) > 1


def _ground(row: Row) -> tuple[str, str, str | None]:
    """What an adapter shares with the base rows that it is compared with."""
    return row.base_model, row.quantisation, row.data_id


def _measure(rows: Sequence[Row]) -> tuple[str, str]:
    """The attribute that compares between all rows, and its axis label."""
    done = [row for row in rows if row.items]
    same = len({row.base_model for row in done}) <= 1 and len({row.data_id for row in done}) <= 1
    return ("perplexity", "perplexity") if same else ("bits_per_byte", "bits per byte")


def _estimate(row: Row, measure: str) -> Estimate | None:
    found = getattr(row, measure)
    return found if isinstance(found, Estimate) else None


def _along(rows: Sequence[Row], adapters: Sequence[Row], key: str, others: Sequence[str]) -> Figure:
    """Settings along a number: one series for each combination of the other keys."""
    import matplotlib.pyplot as plt

    measure, label = _measure(rows)
    series: dict[str, list[Row]] = {}
    for row in adapters:
        series.setdefault(canonical_json([row.overrides.get(other) for other in others]), []).append(row)
    values = sorted({number(row.overrides[key]) or 0.0 for row in adapters})
    kind = scale(values)
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.3), layout="constrained")
    places = {value: _place(value, kind) for value in values}
    step = min((later - sooner for sooner, later in pairwise(places.values())), default=1.0)
    shades = colours(len(series))
    failed: list[tuple[float, str]] = []
    for rank, part in enumerate(series.values()):
        # Side by side, so that intervals at the same value do not hide each other.
        shift = (rank - (len(series) - 1) / 2) * min(0.12, 0.6 / len(series)) * step
        points = [(places[number(row.overrides[key]) or 0.0] + shift, row) for row in part]
        name = ", ".join(f"{other} = {short(shown(part[0].overrides.get(other)))}" for other in others)
        _points(axes, points, measure, shades[rank], MARKERS[rank % len(MARKERS)], name)
        failed += [(x, _fate(row)) for x, row in points if not row.items]
    axes.set_xticks([places[value] for value in values], [f"{value:g}" for value in values])
    margin = max(step * 0.5, (max(places.values()) - min(places.values())) * 0.06)
    axes.set_xlim(min(places.values()) - margin, max(places.values()) + margin)
    axes.minorticks_off()
    axes.set_xlabel(f"{key} (log scale)" if kind != "linear" else key)
    axes.set_ylabel(label)
    axes.grid(axis="x", visible=False)
    _turn(axes, list(places.values()), [f"{value:g}" for value in values])
    _missing(axes, failed)
    _base_lines(axes, rows, measure)
    _title(figure, axes, rows)
    if others and any(name for name in axes.get_legend_handles_labels()[1]):
        _legend(figure, axes)
    return figure


def _place(value: float, kind: str) -> float:
    return {"log2": math.log2, "log10": math.log10}.get(kind, float)(value)


def _points(axes: Axes, points: Sequence[tuple[float, Row]], measure: str, colour: Any, marker: str, name: str) -> None:
    """One series with its intervals, and the single seeds as dashes. Its line has a gap where a setting has no figure."""
    valued = [(x, row, estimate) for x, row in points if (estimate := _estimate(row, measure)) is not None]
    if not valued:
        return
    found = [_estimate(row, measure) or Estimate(math.nan, math.nan, math.nan) for _, row in points]
    error = [[max(0.0, one.value - one.low) for one in found], [max(0.0, one.high - one.value) for one in found]]
    look = {**POINT, "marker": marker, "linestyle": "-", "linewidth": 0.9}
    axes.errorbar([x for x, _ in points], [one.value for one in found], yerr=error, color=colour, label=name or None, **look)
    for x, row, estimate in valued:
        if _unclear(row):
            axes.plot([x], [estimate.value], color=colour, **{**HOLLOW, "marker": marker})
    if measure == "perplexity":
        for x, row, _ in valued:
            if len(row.by_seed) > 1:
                axes.plot(
                    [x] * len(row.by_seed), row.by_seed, linestyle="none", marker="_", markersize=6, color=colour, alpha=0.7
                )


def _base_lines(axes: Axes, rows: Sequence[Row], measure: str) -> None:
    """The base rows across the axes, named and valued on the right."""
    bases = [row for row in rows if row.condition != "adapter"]
    lines = [(row, estimate.value) for row in bases if (estimate := _estimate(row, measure)) is not None]
    for row, value in lines:
        axes.axhline(value, color=GREY, linestyle=LINES[row.condition], linewidth=0.9, zorder=1)
    if not lines:
        return
    low, high = axes.get_ylim()
    gap = (high - low) * 0.19
    wanted = [value for _, value in lines]
    for (row, value), place in zip(lines, spread(wanted, gap, low + gap / 2, high - gap / 2), strict=True):
        axes.annotate(
            f"{LABELS[row.condition]}\n{plain(value, 2)}",
            xy=(1, value),
            xytext=(1.04, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=6.5,
            linespacing=0.95,
            color=GREY,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
    axes.set_ylim(low, high)


def _missing(axes: Axes, failed: Sequence[tuple[float, str]]) -> None:
    """Settings without figures: a cross on the axis, and what became of them."""
    for x, fate in failed:
        axes.plot(
            [x], [0.02], marker="x", markersize=4, color="black", transform=axes.get_xaxis_transform(), clip_on=False, zorder=5
        )
        axes.text(
            x, 0.07, fate, transform=axes.get_xaxis_transform(), rotation=90, ha="center", va="bottom", fontsize=6, zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _listed(rows: Sequence[Row], adapters: Sequence[Row], keys: Sequence[str]) -> Figure:
    """Settings one under the other, so that long names have room."""
    import matplotlib.pyplot as plt

    measure, label = _measure(rows)
    bases = [row for row in rows if row.condition != "adapter" and row.items]
    differ = _bases_differ(rows)
    names = [_name(row, keys) for row in adapters]
    height = 0.75 + 0.23 * max(2, len(adapters)) + (0.22 if differ else 0.3)
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")
    shade = colours(1)[0]
    for y, row in enumerate(adapters):
        estimate = _estimate(row, measure)
        if estimate is None:
            axes.text(0.02, y, _fate(row), transform=axes.get_yaxis_transform(), va="center", fontsize=6.5, style="italic")
            continue
        error = [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
        axes.errorbar([estimate.value], [y], xerr=error, color=shade, zorder=3, label="adapter" if differ else None, **POINT)
        if _unclear(row):
            axes.plot([estimate.value], [y], color=shade, **HOLLOW)
        for base in bases if differ else []:
            value = _estimate(base, measure)
            if value is not None and _ground(base) == _ground(row):
                axes.plot([value.value], [y], linestyle="none", color=GREY, label=base.name, **TICKS[base.condition])
    axes.set_yticks(range(len(adapters)), names)
    axes.set_ylim(max(len(adapters), 1) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)
    if not differ:
        _base_columns(axes, bases, measure)
    if bases:
        _legend(figure, axes)
    if keys:
        axes.set_ylabel(", ".join(keys))
    _title(figure, axes, rows)
    return figure


def _base_columns(axes: Axes, bases: Sequence[Row], measure: str) -> None:
    """The base rows as upright lines, their values in the legend: names above the axes would run into each other."""
    for row in bases:
        estimate = _estimate(row, measure)
        if estimate is not None:
            label = f"{row.name}: {plain(estimate.value, 2)}"
            axes.axvline(estimate.value, color=GREY, linestyle=LINES[row.condition], linewidth=0.9, zorder=1, label=label)


def _nothing() -> Figure:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 1.2), layout="constrained")
    axes.text(0.5, 0.5, "No trial has been evaluated.", ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
    return figure


def _title(figure: Figure, axes: Axes, rows: Sequence[Row]) -> None:
    import seaborn as sns

    sns.despine(ax=axes)
    if warning(rows) is not None:
        figure.suptitle("VALIDATION split, not test", fontsize=7.5, fontweight="bold", color="#b00020")


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    columns = max(1, min(3, int(62 / (max(map(len, unique)) + 7))))
    figure.legend(
        unique.values(), unique.keys(), loc="outside upper center", ncol=columns, frameon=False, handlelength=1.6, columnspacing=1
    )


def _turn(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Turn tick labels that would touch."""
    low, high = axes.get_xlim()
    inches = [(place - low) / (high - low) * AXES_WIDTH for place in places]
    touching = any(
        later - sooner < (len(one) + len(other)) / 2 * DIGIT_WIDTH + 0.04
        for (sooner, one), (later, other) in pairwise(zip(inches, labels, strict=True))
    )
    if touching:
        axes.tick_params(axis="x", labelrotation=60)


def _name(row: Row, keys: Sequence[str]) -> str:
    values = [shown(row.overrides[key]) for key in keys if key in row.overrides]
    return short(", ".join(values)) if values else "adapter"


def _unclear(row: Row) -> bool:
    return row.difference is not None and row.difference.includes_zero


def _fate(row: Row) -> str:
    return ", ".join(dict.fromkeys(problem.status for problem in row.problems))
