"""The ablation figure: a point and a 95 % interval for each setting, the base model as lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.bootstrap_intervals import Estimate
from analysis.comparable_rows import newest, one_model
from analysis.figure_style import COLUMN_WIDTH, GREY, MARKERS, colours, label_beside, save_figure, shortened, styled
from analysis.seed_aggregation import CONDITION_NAMES, SHORT_NAMES, Row
from analysis.swept_values import as_number, ordered_values, value_text
from analysis.table_caption import warning
from analysis.table_columns import plain
from persona_exp.atomic_files import canonical_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASE_LINES = {"base": ":", "base+system": "--"}
# Marker and its size.
BASE_MARKERS = {"base": ("d", 3), "base+system": ("|", 8)}

# Inches: what names on both sides leave of the column, and one digit of a label.
AXES_WIDTH = 2.4
DIGIT_WIDTH = 0.065

Measure = Callable[[Row], Estimate | None]


def draw_figure(rows: Sequence[Row], keys: Sequence[str], folder: Path) -> list[Path]:
    """Write figure.pdf and figure.png into `folder` and return their paths.

    A swept key with numbers lies on x (log2 where its values are powers of two), the others tell series apart; without numbers,
    settings are listed one under the other. Where base models or data differ, the figure shows bits/byte, which compares. A
    hollow point is not separable from the base model with the system prompt. Rows of older versions than others are left out.
    """
    rows = newest(rows)
    with styled():
        key = numeric_key([row for row in rows if row.condition == "adapter"], keys)
        if not any(row.items for row in rows):
            figure = _nothing()
        elif key is None or _bases_differ(rows):
            figure = _listed(rows, keys)
        else:
            figure = _along(rows, key, [other for other in keys if other != key])
        return save_figure(figure, folder, "figure")


def numeric_key(adapters: Sequence[Row], keys: Sequence[str]) -> str | None:
    """Return the first swept key that has two or more values, all numbers; else the first all of whose values are numbers."""
    values = {key: ordered_values(row.overrides.get(key) for row in adapters) for key in keys}
    numeric = [key for key in keys if values[key] and all(as_number(value) is not None for value in values[key])]
    return next((key for key in numeric if len(values[key]) > 1), next(iter(numeric), None))


def scale(values: Sequence[float]) -> str:
    """Return `log2` for distinct powers of two, `log10` for positive values over more than a factor of ten, else `linear`."""
    if len(values) > 1 and all(value > 0 and math.log2(value).is_integer() for value in values):
        return "log2"
    if len(values) > 1 and min(values) > 0 and max(values) / min(values) > 10:
        return "log10"
    return "linear"


def _bases_differ(rows: Sequence[Row]) -> bool:
    """Return whether a base row belongs to some settings and not to others."""
    return len({row.sample.ground for row in rows if row.items}) > 1


def _measure(rows: Sequence[Row]) -> tuple[Measure, str]:
    """Return the figure that compares between all rows, and its axis label."""
    return (lambda row: row.perplexity, "perplexity") if one_model(rows) else (lambda row: row.bits_per_byte, "bits per byte")


def _along(rows: Sequence[Row], key: str, others: Sequence[str]) -> Figure:
    """Draw settings along a number: one series for each combination of the other keys."""
    import matplotlib.pyplot as plt

    measure, label = _measure(rows)
    series: dict[str, list[Row]] = {}
    for row in rows:
        if row.condition == "adapter":
            series.setdefault(canonical_json([row.overrides.get(other) for other in others]), []).append(row)
    values = sorted({as_number(row.overrides[key]) or 0.0 for part in series.values() for row in part})
    kind = scale(values)
    places = {value: {"log2": math.log2, "log10": math.log10}.get(kind, float)(value) for value in values}
    step = min((later - sooner for sooner, later in pairwise(places.values())), default=1.0)
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.3), layout="constrained")
    for rank, (part, colour) in enumerate(zip(series.values(), colours(len(series)), strict=True)):
        # Side by side, so that intervals at the same value do not hide each other.
        shift = (rank - (len(series) - 1) / 2) * min(0.12, 0.6 / len(series)) * step
        xs = [places[as_number(row.overrides[key]) or 0.0] + shift for row in part]
        marker = MARKERS[rank % len(MARKERS)]
        for x, row in zip(xs, part, strict=True):
            if (found := measure(row)) is None:
                _cross(axes, x, row)
                continue
            _point(axes, x, found, row, colour, marker)
            # The single seeds.
            if label == "perplexity" and len(row.by_seed) > 1:
                axes.plot([x] * len(row.by_seed), row.by_seed, linestyle="none", marker="_", markersize=6, color=colour, alpha=0.7)
        # The line has a gap where a setting has no figure.
        line = [math.nan if (found := measure(row)) is None else found.value for row in part]
        name = ", ".join(f"{other} = {shortened(value_text(part[0].overrides.get(other)))}" for other in others)
        if any(map(math.isfinite, line)):
            axes.plot(xs, line, color=colour, linewidth=0.9, marker=marker, markersize=3.5, label=name or None)
    labels = [f"{value:g}" for value in values]
    axes.set_xticks(list(places.values()), labels)
    margin = max(step * 0.5, (max(places.values()) - min(places.values())) * 0.06)
    axes.set_xlim(min(places.values()) - margin, max(places.values()) + margin)
    axes.minorticks_off()
    axes.set_xlabel(f"{key} (log scale)" if kind != "linear" else key)
    axes.set_ylabel(label)
    axes.grid(axis="x", visible=False)
    _turn_labels(axes, list(places.values()), labels)
    _base_lines(axes, rows, measure)
    _finish(figure, axes, rows)
    return figure


def _listed(rows: Sequence[Row], keys: Sequence[str]) -> Figure:
    """Draw settings one under the other, so that long names have room; base rows as lines, or beside each setting where they differ."""
    import matplotlib.pyplot as plt

    measure, label = _measure(rows)
    adapters = [row for row in rows if row.condition == "adapter"]
    bases = [(row, found.value) for row in rows if row.condition != "adapter" and (found := measure(row)) is not None]
    differ = _bases_differ(rows)
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 1.05 + 0.23 * max(2, len(adapters))), layout="constrained")
    for y, row in enumerate(adapters):
        if (found := measure(row)) is None:
            axes.text(0.02, y, _statuses(row), transform=axes.get_yaxis_transform(), va="center", fontsize=6.5, style="italic")
            continue
        _point(axes, y, found, row, colours(1)[0], MARKERS[0], lying=True, name="adapter" if differ else "")
        for base, value in bases:
            if differ and base.sample.ground == row.sample.ground:
                marker, size = BASE_MARKERS[base.condition]
                axes.plot([value], [y], linestyle="none", color=GREY, label=CONDITION_NAMES[base.condition], marker=marker, markersize=size)
    for base, value in [] if differ else bases:
        # Valued in the legend: names above the axes would run into each other.
        name = f"{base.name}: {plain(value, 2)}"
        axes.axvline(value, color=GREY, linestyle=BASE_LINES[base.condition], linewidth=0.9, zorder=1, label=name)
    axes.set_yticks(range(len(adapters)), [_name(row, keys) for row in adapters])
    axes.set_ylim(max(len(adapters), 1) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylabel(", ".join(keys))
    _finish(figure, axes, rows)
    return figure


def _nothing() -> Figure:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 1.2), layout="constrained")
    axes.text(0.5, 0.5, "No trial has been evaluated.", ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
    return figure


def _point(axes: Axes, place: float, found: Estimate, row: Row, colour: Any, marker: str, *, lying: bool = False, name: str = "") -> None:
    """Draw a setting at `place` with its interval, `lying` along x or upright; hollow where it is not separable from its base model."""
    error = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
    hollow = row.difference is not None and row.difference.includes_zero
    axes.errorbar(
        *((found.value, place) if lying else (place, found.value)),
        xerr=error if lying else None,
        yerr=None if lying else error,
        color=colour,
        marker=marker,
        markerfacecolor="white" if hollow else colour,
        markersize=3.5,
        elinewidth=0.9,
        capsize=2,
        linestyle="none",
        zorder=3,
        label=name or None,
    )


def _cross(axes: Axes, x: float, row: Row) -> None:
    """Draw a setting without figures: a cross on the axis, and its status."""
    across = axes.get_xaxis_transform()
    axes.plot([x], [0.02], marker="x", markersize=4, color="black", transform=across, clip_on=False, zorder=5)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.text(x, 0.07, _statuses(row), transform=across, rotation=90, ha="center", va="bottom", fontsize=6, zorder=4, bbox=box)


def _base_lines(axes: Axes, rows: Sequence[Row], measure: Measure) -> None:
    """Draw the base rows across the axes, named and valued on the right."""
    named: list[tuple[float, float, str, Any]] = []
    for row in rows:
        if row.condition != "adapter" and (found := measure(row)) is not None:
            axes.axhline(found.value, color=GREY, linestyle=BASE_LINES[row.condition], linewidth=0.9, zorder=1)
            name = SHORT_NAMES[row.condition].replace(" system", "\nsystem")
            named.append((math.inf, found.value, f"{name}\n{plain(found.value, 2)}", GREY))
    label_beside(axes, named, 0.19)


def _finish(figure: Figure, axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the legend, where there is something to name, and the warning, where there is one."""
    import seaborn as sns

    sns.despine(ax=axes)
    if warning(rows) is not None:
        figure.suptitle("VALIDATION split, not test", fontsize=7.5, fontweight="bold", color="#b00020")
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    unique = dict(zip(labels, handles, strict=True))
    columns = max(1, min(3, int(62 / (max(map(len, unique)) + 7))))
    style: dict[str, Any] = {"frameon": False, "handlelength": 1.6, "columnspacing": 1}
    figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncol=columns, **style)


def _turn_labels(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Turn the labels below the x axis where they would touch."""
    low, high = axes.get_xlim()
    inches = [(place - low) / (high - low) * AXES_WIDTH for place in places]
    touching = any(
        later - sooner < (len(one) + len(other)) / 2 * DIGIT_WIDTH + 0.04
        for (sooner, one), (later, other) in pairwise(zip(inches, labels, strict=True))
    )
    if touching:
        axes.tick_params(axis="x", labelrotation=60)


def _name(row: Row, keys: Sequence[str]) -> str:
    values = [value_text(row.overrides[key]) for key in keys if key in row.overrides]
    return shortened(", ".join(values)) if values else "adapter"


def _statuses(row: Row) -> str:
    return ", ".join(dict.fromkeys(one.status for one in row.problems))
