"""Training loss by step, one line a trial, and points for its validations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figure_style import COLUMN_WIDTH, MARKERS, colours, label_beside, save_figure, shortened, styled
from analysis.seed_aggregation import Row
from analysis.sweep_results import Results
from analysis.swept_values import as_number, value_text

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# With more lines than this, names go into a legend.
NAMED_DIRECTLY = 6

# The loss of single steps is noisy; the line is its running mean over this part of the run.
WINDOW_FRACTION = 0.08

# Seeds of one setting share its colour and differ in their dashes.
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """One trial's logged losses (nats a supervised token), and (step, loss) of its validations; `status` is empty where the trial
    was evaluated.

    `setting` and `seed` number the settings, and the seeds of each, from 0.
    """

    name: str
    setting: int
    seed: int
    steps: NDArray[np.float64]
    losses: NDArray[np.float64]
    status: str
    validations: Sequence[tuple[float, float]] = ()


def draw_curves(results: Results, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write loss.pdf and loss.png into `folder` and return their paths; no files where no trial has logged a step."""
    found = curves(results, rows)
    if not found:
        return []
    with styled():
        return save_figure(_figure(found), folder, "loss")


def curves(results: Results, rows: Sequence[Row]) -> list[Curve]:
    """Return the curve of every adapter trial that logged a finite loss, in the table's order."""
    import numpy as np

    found: list[Curve] = []
    drawn: set[str] = set()
    for setting, row in enumerate(row for row in rows if row.condition == "adapter"):
        for seed, one in enumerate(row.outcomes):
            log = results.logs.get(one.trial_id, [])
            records = [record for record in log if as_number(record.get("loss")) is not None]
            validations = [(float(record["step"]), record["eval_loss"]) for record in log if as_number(record.get("eval_loss")) is not None]
            # Evaluations do not change how a trial trained: it is there once, however often it was evaluated.
            if not records or one.trial_id in drawn:
                continue
            drawn.add(one.trial_id)
            swept = {key: value for key, value in one.overrides.items() if not key.startswith("evaluation")}
            if len(row.outcomes) > 1:
                swept["seed"] = one.seed
            name = ", ".join(f"{key.split('.')[-1]}={shortened(value_text(value))}" for key, value in swept.items()) or "adapter"
            name += f" ({row.mark})" if row.mark else ""
            steps, losses = (np.array([record[key] for record in records], float) for key in ("step", "loss"))
            found.append(Curve(name, setting, seed, steps, losses, "" if one.evaluated else one.status, validations))
    return found


def smooth(losses: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the centred running mean over `window` logged steps (odd), over those there are at both ends."""
    import numpy as np

    places = np.arange(len(losses))
    first, last = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(losses))
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def window(steps: int) -> int:
    """Return an odd number of logged steps, 1 (no smoothing) for short runs."""
    wide = int(steps * WINDOW_FRACTION)
    return wide + 1 - wide % 2 if wide > 1 else 1


def _figure(found: Sequence[Curve]) -> Figure:
    import matplotlib.pyplot as plt
    import seaborn as sns

    width = window(max(len(curve.losses) for curve in found))
    direct = len(found) <= NAMED_DIRECTLY and max(len(_label(curve)) for curve in found) <= 18
    rows = 0 if direct else -(-len(found) // _columns(found))
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.2 + 0.13 * rows), layout="constrained")
    settings = sorted({curve.setting for curve in found})
    shades = dict(zip(settings, colours(len(settings)), strict=True))
    named: list[tuple[float, float, str, Any]] = []
    for curve in found:
        shade = shades[curve.setting]
        line = smooth(curve.losses, width)
        if width > 1:
            axes.plot(curve.steps, curve.losses, color=shade, linewidth=0.4, alpha=0.25)
        marker = MARKERS[0] if len(line) == 1 else ""
        dashes = DASHES[curve.seed % len(DASHES)]
        axes.plot(curve.steps, line, color=shade, label=_label(curve), linestyle=dashes, linewidth=1, marker=marker, markersize=3)
        if curve.validations:
            steps, losses = zip(*curve.validations, strict=True)
            axes.plot(steps, losses, color=shade, linestyle=(0, (1, 2)), linewidth=0.8, marker="o", markersize=2.5)
        if curve.status:
            axes.plot(curve.steps[-1:], line[-1:], marker="x", markersize=5, color="black", linestyle="none", zorder=5)
        named.append((float(curve.steps[-1]), float(line[-1]), _label(curve), shade))
    axes.set_xlabel("optimiser step")
    validated = any(curve.validations for curve in found)
    axes.set_ylabel(
        "training loss (nats/token)"
        + (f",\nmean of {width} logged steps" if width > 1 else "")
        + ("\npoints: validation loss" if validated else "")
    )
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="x", visible=False)
    sns.despine(ax=axes)
    if direct:
        label_beside(axes, named, 0.075)
    else:
        figure.legend(loc="outside lower center", ncol=_columns(found), frameon=False, handlelength=1.6, columnspacing=1)
    return figure


def _label(curve: Curve) -> str:
    return f"{curve.name} ({curve.status})" if curve.status else curve.name


def _columns(found: Sequence[Curve]) -> int:
    return max(1, min(4, int(64 / (max(len(_label(curve)) for curve in found) + 6))))
