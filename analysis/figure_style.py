"""The style of all figures: one column wide, small type, colours that colour-blind readers distinguish, fonts embedded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches: a column of the ACL, ICML and IEEE templates is 3.0 to 3.5 wide.
COLUMN_WIDTH = 3.4

# TrueType outlines: publishers refuse matplotlib's default Type 3 fonts.
FONT_TYPE = 42
DOTS_PER_INCH = 300

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
GREY = "#555555"

# Characters of a name in a figure: more would leave the data no room.
LONGEST_NAME = 30


@contextmanager
def styled() -> Iterator[None]:
    """Draw with the project's style, without a display, and leave matplotlib as it was."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    with plt.rc_context(), sns.axes_style("ticks"), sns.plotting_context("paper"):
        plt.rcParams.update(
            {
                "pdf.fonttype": FONT_TYPE,
                "ps.fonttype": FONT_TYPE,
                "font.family": "DejaVu Sans",
                "font.size": 7,
                "axes.labelsize": 7.5,
                "axes.titlesize": 7.5,
                "xtick.labelsize": 7,
                "ytick.labelsize": 7,
                "legend.fontsize": 6.5,
                "legend.title_fontsize": 6.5,
                "axes.linewidth": 0.6,
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": "#e6e6e6",
                "grid.linewidth": 0.5,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
                "xtick.major.size": 2.5,
                "ytick.major.size": 2.5,
                "axes.unicode_minus": True,
            }
        )
        yield


def colours(count: int) -> list[Any]:
    """Return `count` colours: seaborn's colour-blind palette, and beyond its eight distinct ones a ramp that reads in grey too."""
    import seaborn as sns

    return list(sns.color_palette("colorblind", count) if count <= 8 else sns.color_palette("viridis", count))


def shortened(text: str) -> str:
    """Return a name cut for a figure. Names differ at both ends; what is left out is in the middle."""
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME // 2]}…{text[-(LONGEST_NAME // 2 - 1) :]}"


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.pdf and `name`.png into `folder`, each whole or not at all, the same bytes for the same figure."""
    import matplotlib.pyplot as plt

    written = []
    for ending in ("pdf", "png"):
        final = folder / f"{name}.{ending}"
        staged = folder / f".{name}.{os.getpid()}.{ending}"
        stamps: dict[str, Any] = {"CreationDate": None} if ending == "pdf" else {"Software": None}
        figure.savefig(staged, dpi=DOTS_PER_INCH, metadata=stamps)
        staged.replace(final)
        written.append(final)
    plt.close(figure)
    return written


def label_beside(axes: Axes, named: Sequence[tuple[float, float, str, Any]], gap: float) -> None:
    """Write names right of the axes, each joined by a thin line to its point. `gap`: their distance as a part of the axes' height.

    `named` are (x, y, name, colour); an infinite x is the right edge.
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    step = (high - low) * gap
    for (x, y, name, colour), place in zip(
        named, spread_labels([y for _, y, _, _ in named], step, low + step / 2, high - step / 2), strict=True
    ):
        axes.annotate(
            name,
            xy=(min(x, right), y),
            xytext=(1.04, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=6.5,
            linespacing=0.95,
            color=colour,
            # From the middle of the name's left edge: from its centre the line would cross names.
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
            annotation_clip=False,
        )
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def spread_labels(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return where to put labels that want to be at `places`, at least `gap` apart and within [`low`, `high`] as far as there is room.

    Same order as `places`. Labels that touch are moved as one block around their mean.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    # Each block is [sum of (wanted place - offset in the block), number of labels]; blocks that overlap merge.
    blocks: list[tuple[float, int]] = []
    for index in order:
        total, size = places[index], 1
        while blocks and total / size < blocks[-1][0] / blocks[-1][1] + gap * blocks[-1][1]:
            before, count = blocks.pop()
            total, size = before + total - gap * count * size, size + count
        blocks.append((total, size))
    put: list[float] = []
    for total, size in blocks:
        put += [total / size + gap * step for step in range(size)]
    if put and put[-1] > high:
        ceiling = high
        for step in range(len(put) - 1, -1, -1):
            put[step] = min(put[step], ceiling)
            ceiling = put[step] - gap
    if put and put[0] < low:
        floor = low
        for step in range(len(put)):
            put[step] = max(put[step], floor)
            floor = put[step] + gap
    found = [0.0] * len(places)
    for rank, index in enumerate(order):
        found[index] = put[rank]
    return found
