"""Training loss by step, one line a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.frame import Results, setting_keys, shown
from analysis.rows import Row
from analysis.style import COLUMN_WIDTH, MARKERS, colours, save, short, spread, styled

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# With more lines than this, names go into a legend.
NAMED_DIRECTLY = 6

# The loss of single steps is noisy; the line is its running mean over this part of the run.
WINDOW_FRACTION = 0.08


@dataclass(frozen=True)
class Curve:
    """One trial's logged losses (nats a supervised token); `fate` is empty where the trial was evaluated."""

    name: str
    setting: int
    steps: NDArray[np.float64]
    losses: NDArray[np.float64]
    fate: str


def draw(results: Results, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write loss.pdf and loss.png into `folder`; no files where no trial has logged a step."""
    found = curves(results, rows)
    if not found:
        return []
    with styled():
        return save(_figure(found), folder, "loss")


def curves(results: Results, rows: Sequence[Row]) -> list[Curve]:
    """The curve of every adapter trial that logged a finite loss, in the table's order."""
    import numpy as np

    keys = setting_keys(results.sweep)
    frame = results.frame[results.frame["role"] == "adapter"].drop_duplicates("trial_id").set_index("trial_id")
    found = []
    for place, row in enumerate(row for row in rows if row.condition == "adapter"):
        for trial_id in row.trial_ids:
            log = results.logs.get(trial_id)
            if log is None or "loss" not in log:
                continue
            kept = log[np.isfinite(log["loss"].astype(float))]
            if kept.empty:
                continue
            overrides = [(key, row.overrides[key]) for key in keys if key in row.overrides]
            if len(row.trial_ids) > 1:
                seed: Any = frame.at[trial_id, "seed"]
                overrides.append(("seed", int(seed) if seed == seed else seed))
            status = str(frame.at[trial_id, "status"])
            fate = "" if status == "evaluated" else status
            found.append(Curve(_name(overrides), place, kept["step"].to_numpy(float), kept["loss"].to_numpy(float), fate))
    return found


def smooth(losses: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred running mean over `window` logged steps (odd), over those there are at both ends."""
    import numpy as np

    kernel = np.ones(window)
    return np.convolve(losses, kernel, "same") / np.convolve(np.ones(len(losses)), kernel, "same")


def window(steps: int) -> int:
    """An odd number of logged steps, 1 (no smoothing) for short runs."""
    wide = int(steps * WINDOW_FRACTION)
    return wide + 1 - wide % 2 if wide > 1 else 1


def _name(overrides: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{key.split('.')[-1]}={short(shown(value))}" for key, value in overrides) or "adapter"


def _figure(found: Sequence[Curve]) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    width = min(window(max(len(curve.losses) for curve in found)), min(len(curve.losses) for curve in found) | 1)
    direct = len(found) <= NAMED_DIRECTLY and max(len(_full(curve)) for curve in found) <= 18
    rows = 0 if direct else -(-len(found) // _columns(found))
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.2 + 0.13 * rows), layout="constrained")
    shades = dict(zip(sorted({curve.setting for curve in found}), colours(len({curve.setting for curve in found})), strict=True))
    ends = []
    styles = _styles(found)
    for curve in found:
        shade = shades[curve.setting]
        line = smooth(curve.losses, width)
        if width > 1:
            axes.plot(curve.steps, curve.losses, color=shade, linewidth=0.4, alpha=0.25)
        axes.plot(curve.steps, line, color=shade, linewidth=1.0, linestyle=styles[id(curve)], label=_full(curve),
                  marker=MARKERS[0] if len(line) == 1 else None, markersize=3)  # fmt: skip
        if curve.fate:
            axes.plot(curve.steps[-1:], line[-1:], marker="x", markersize=5, color="black", linestyle="none", zorder=5)
        ends.append((curve, float(line[-1])))
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("training loss (nats/token)" + (f",\nmean of {width} logged steps" if width > 1 else ""))
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="x", visible=False)
    sns.despine(ax=axes)
    if direct:
        _name_ends(axes, ends, shades)
    else:
        figure.legend(loc="outside lower center", ncol=_columns(found), frameon=False, handlelength=1.6, columnspacing=1)
    return figure


def _full(curve: Curve) -> str:
    return f"{curve.name} ({curve.fate})" if curve.fate else curve.name


def _columns(found: Sequence[Curve]) -> int:
    return max(1, min(4, int(64 / (max(len(_full(curve)) for curve in found) + 6))))


def _styles(found: Sequence[Curve]) -> dict[int, str]:
    """Seeds of one setting share its colour and differ in their dashes."""
    dashes = ("-", "--", "-.", ":")
    seen: dict[int, int] = {}
    styles = {}
    for curve in found:
        rank = seen.get(curve.setting, 0)
        seen[curve.setting] = rank + 1
        styles[id(curve)] = dashes[rank % len(dashes)]
    return styles


def _name_ends(axes: Axes, ends: Sequence[tuple[Curve, float]], shades: Mapping[int, Any]) -> None:
    low, high = axes.get_ylim()
    gap = (high - low) * 0.075
    last = axes.get_xlim()[1]
    axes.set_xlim(axes.get_xlim()[0], last)
    for (curve, value), place in zip(ends, spread([value for _, value in ends], gap, low + gap / 2, high - gap / 2), strict=True):
        axes.annotate(
            _full(curve),
            xy=(float(curve.steps[-1]), value),
            xytext=(1.03, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=6.5,
            color=shades[curve.setting],
            arrowprops={"arrowstyle": "-", "color": shades[curve.setting], "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
    axes.set_ylim(low, high)
