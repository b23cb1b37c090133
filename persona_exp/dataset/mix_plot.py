"""The plot of a dataset's mix: how many examples of each kind, by split and persona."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from persona_exp.dataset.training_example import KINDS, SPLITS

# Okabe and Ito's colours, which colour-blind readers tell apart, one for each kind whatever else is in the picture.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#999999", "#F0E442")
OTHER_COLOUR = "#444444"
INCHES, ROW_INCHES, DOTS_PER_INCH = 8.0, 0.36, 150
# A share below this has no room for its number.
LEAST_SHARE = 0.05
LONGEST_NAME = 28

Row = tuple[str, str, Mapping[str, int]]


def plot_mix(mix: Mapping[str, Mapping[str, Mapping[str, int]]], path: Path) -> None:
    """Write a PNG of `mix` (split → persona → kind → examples), whole or not at all, the same bytes for the same counts.

    Left the numbers of examples, right their shares: validation and test are small beside training, and still to be read.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(split, persona, kinds) for split in SPLITS for persona, kinds in mix.get(split, {}).items() if sum(kinds.values())]
    used = {kind for _, _, kinds in rows for kind in kinds}
    kinds = [kind for kind in KINDS if kind in used] + sorted(used - set(KINDS))
    with matplotlib.rc_context():
        # Whatever a user's own settings say.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "axes.linewidth": 0.6})
        figure = Figure(figsize=(INCHES, 1.3 + ROW_INCHES * max(2, len(rows))))
        FigureCanvasAgg(figure)
        counts, shares = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (1, 1.15)})
        _bars(counts, shares, rows, kinds)
        _dress(figure, counts, shares, rows)
        staged = path.with_name(f".{path.stem}.{os.getpid()}.png")
        figure.savefig(staged, dpi=DOTS_PER_INCH, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.12)
    staged.replace(path)


def _bars(counts: Any, shares: Any, rows: Sequence[Row], kinds: Sequence[str]) -> None:
    places = _places(rows)
    lefts, share_lefts = [0] * len(rows), [0.0] * len(rows)
    totals = [sum(of.values()) for _, _, of in rows]
    for kind in kinds:
        colour = COLOURS[KINDS.index(kind)] if kind in KINDS else OTHER_COLOUR
        numbers = [of.get(kind, 0) for _, _, of in rows]
        parts = [number / total for number, total in zip(numbers, totals, strict=True)]
        counts.barh(places, numbers, left=lefts, color=colour, height=0.72, edgecolor="white", linewidth=0.4, label=kind or "(no kind)")
        shares.barh(places, parts, left=share_lefts, color=colour, height=0.72, edgecolor="white", linewidth=0.4)
        for place, part, left in zip(places, parts, share_lefts, strict=True):
            if part >= LEAST_SHARE:
                ink = "black" if _light(colour) else "white"
                shares.text(left + part / 2, place, f"{100 * part:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
        lefts = [left + number for left, number in zip(lefts, numbers, strict=True)]
        share_lefts = [left + part for left, part in zip(share_lefts, parts, strict=True)]
    for place, total in zip(places, totals, strict=True):
        counts.annotate(f"{total:,}", (total, place), (3, 0), textcoords="offset points", va="center", fontsize=8, color="#333333")


def _dress(figure: Any, counts: Any, shares: Any, rows: Sequence[Row]) -> None:
    places = _places(rows)
    alone = len({persona for _, persona, _ in rows}) == 1
    counts.set_yticks(places, [split if alone else f"{_short(persona)}, {split}" for split, persona, _ in rows])
    counts.invert_yaxis()
    counts.set_xlim(0, 1.16 * max((sum(of.values()) for _, _, of in rows), default=1))
    shares.set_xlim(0, 1)
    shares.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    counts.locator_params(axis="x", nbins=5)
    counts.xaxis.set_major_formatter("{x:,.0f}")
    counts.set_xlabel("examples")
    shares.set_xlabel("share of kinds (%)")
    for axes in (counts, shares):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8, width=0.6, length=3)
        axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
    handles, labels = counts.get_legend_handles_labels()
    figure.tight_layout(w_pad=1.5)
    figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(8, len(labels)), frameon=False, fontsize=8.5)


def _places(rows: Sequence[Row]) -> list[float]:
    """Return one place a bar, with a gap between splits."""
    places: list[float] = []
    for index, (split, _, _) in enumerate(rows):
        gap = 0.0 if not index else 1.0 if rows[index - 1][0] == split else 1.45
        places.append((places[-1] if places else 0.0) + gap)
    return places


def _light(colour: str) -> bool:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140


def _short(name: str) -> str:
    name = name or "no persona"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
