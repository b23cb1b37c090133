"""Quality over size: bits/byte of the adapters on each base model, by the model's billions of weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.comparable_rows import newest, one_text
from analysis.figure_style import COLUMN_WIDTH, GREY, MARKERS, colours, save_figure, styled
from analysis.seed_aggregation import CONDITION_NAMES, Row
from analysis.table_caption import warning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Factors: from one model to the next of its size, and at most from the first to the last.
NEAR, SPREAD = 1.04, 1.11
ROUND_SIZES = (0.1, 0.2, 0.5, 1, 2, 3, 4, 7, 8, 14, 27, 32, 70, 100, 200, 400)


def draw_model_sizes(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write model_size.pdf and model_size.png into `folder` and return their paths; no files with fewer than two models of known size.

    A colour a family, full for instruction-tuned models and hollow for base models, with the 95 % interval; grey bars are the same models
    without training, with the system prompt. Where an unlike text was measured nothing is drawn.
    """
    rows = newest(rows)
    adapters = [row for row in rows if row.condition == "adapter" and row.bits_per_byte and row.sample.model_facts.get("parameters_b")]
    if len({row.sample.model_name for row in adapters}) < 2 or not one_text(rows):
        return []
    with styled():
        return save_figure(_figure(adapters, rows), folder, "model_size")


def _figure(adapters: Sequence[Row], rows: Sequence[Row]) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    adapters = sorted(adapters, key=lambda row: (row.sample.model_facts["parameters_b"], row.sample.model_name or ""))
    families = list(dict.fromkeys(str(row.sample.model_facts.get("family")) for row in adapters))
    shades = dict(zip(families, colours(len(families)), strict=True))
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 3.1), layout="constrained")
    for row, place in zip(adapters, _places([row.sample.model_facts["parameters_b"] for row in adapters]), strict=True):
        facts, found = row.sample.model_facts, row.bits_per_byte
        assert found is not None
        family = str(facts.get("family"))
        axes.errorbar(
            place,
            found.value,
            yerr=[[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]],
            color=shades[family],
            marker=MARKERS[families.index(family) % len(MARKERS)],
            markerfacecolor="white" if facts.get("tuned") == "base" else shades[family],
            markersize=3.5,
            elinewidth=0.7,
            capsize=1.2,
            linestyle="none",
            label=family,
        )
        for base in rows:
            if base.condition == "base+system" and base.bits_per_byte and base.sample.ground == row.sample.ground:
                name = CONDITION_NAMES["base+system"]
                axes.plot([place], [base.bits_per_byte.value], linestyle="none", marker="_", markersize=4, color=GREY, label=name)
    sizes = [float(row.sample.model_facts["parameters_b"]) for row in adapters]
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.35, max(sizes) * 1.35)
    named = _named_sizes(sizes)
    axes.set_xticks(named, [f"{size:g}" for size in named])
    axes.minorticks_off()
    axes.set_xlabel("billions of weights (log scale)")
    axes.set_ylabel("bits per byte")
    axes.grid(axis="x", visible=False)
    sns.despine(ax=axes)
    if warning(rows) is not None:
        figure.suptitle("VALIDATION split, not test", fontsize=7.5, fontweight="bold", color="#b00020")
    handles, labels = axes.get_legend_handles_labels()
    if any(row.sample.model_facts.get("tuned") == "base" for row in adapters):
        (hollow,) = axes.plot([], [], linestyle="none", marker="o", markersize=4, color=GREY, markerfacecolor="white")
        handles, labels = [*handles, hollow], [*labels, "hollow: base model"]
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncol=3, frameon=False, handlelength=1.2, columnspacing=1)
    return figure


def _places(sizes: Sequence[float]) -> list[float]:
    """Return where ascending sizes are drawn: equal ones side by side, so that none hides another, and none far from its size."""
    places = []
    for size, group in groupby(sizes):
        count = len(list(group))
        step = min(NEAR, SPREAD ** (1 / max(1, count - 1)))
        places += [size * step ** (rank - (count - 1) / 2) for rank in range(count)]
    return places


def _named_sizes(sizes: Sequence[float]) -> list[float]:
    """Return the sizes to name on the axis: round ones within it that are not too near each other."""
    found: list[float] = []
    for size in sorted({*(size for size in ROUND_SIZES if min(sizes) <= size <= max(sizes)), min(sizes), max(sizes)}):
        if not found or size / found[-1] >= 1.3:
            found.append(float(size))
    return found
