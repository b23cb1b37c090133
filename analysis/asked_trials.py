"""The trials of a search, read from report/search.json, and the axes that its figures share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Objectives further out than so many times the middle half of them are drawn at the edge.
FAR = 3.0
# Names of choices below an axis: with more they cannot be read.
NAMED_CHOICES = 8


@dataclass(frozen=True)
class SettingAxis:
    """A setting that was searched: a range from `low` to `high`, or `choices` in their order; `ordered` where that means something."""

    name: str
    low: float
    high: float
    log: bool
    choices: tuple[str, ...]
    ordered: bool

    @property
    def short_name(self) -> str:
        """The last part of its name."""
        return self.name.split(".")[-1]

    @property
    def numeric(self) -> bool:
        """Whether values between two others mean something."""
        return self.ordered or not self.choices

    def place(self, value: Any) -> float:
        """Return where a value stands: a number as it is, a choice by its rank."""
        return float(self.choices.index(str(value))) if self.choices else float(value)

    def unit(self, value: Any) -> float:
        """Return where a value stands from 0 to 1, by its logarithm on a log scale."""
        low, high, at = self.low, self.high, self.place(value)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True)
class AskedTrial:
    """One ask; a warm start has a `number` below 0. `objectives` are those of a finished one; `attempts` (started, ended, status)."""

    number: int
    state: str
    values: dict[str, Any]
    objectives: tuple[float, ...] | None
    feasible: bool
    attempts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class SearchResults:
    """A search: `directions` has 1 for an objective to minimise, -1 for one to maximise; `settings` the most important first.

    `ranked` is whether their importance is known.
    """

    name: str
    objectives: tuple[str, ...]
    directions: tuple[int, ...]
    settings: tuple[SettingAxis, ...]
    ranked: bool
    importance: Mapping[str, Any]
    trials: tuple[AskedTrial, ...]
    best: frozenset[int]

    @property
    def finished(self) -> list[AskedTrial]:
        """Those with objectives, warm starts among them."""
        return [one for one in self.trials if one.objectives is not None]


def read_search_results(folder: Path) -> SearchResults | None:
    """Return what report/search.json of a sweep's folder has; None where there is none. Raise UserError where it is damaged."""
    path = folder / "report" / "search.json"
    try:
        return _results(parsed_json(record_bytes(path)))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): `persona-exp search {folder.name} --figures` writes it again.") from error


def _results(written: Mapping[str, Any]) -> SearchResults:
    importance = written["importance"]
    rank = {one["name"]: place for place, one in enumerate(importance.get("settings", ()))}
    settings = sorted(map(_axis, written["settings"]), key=lambda one: rank.get(one.name, len(rank)))
    warm = [
        AskedTrial(place - len(written["warm"]), "complete", _numbers(one["values"], settings), _figures(one["objectives"]), True, ())
        for place, one in enumerate(written["warm"])
    ]
    asks = [
        AskedTrial(
            one["number"],
            one["state"],
            one["values"],
            _figures(one["objectives"]),
            one.get("feasible", True),
            tuple(one.get("attempts", ())),
        )
        for one in written["asks"]
    ]
    best = [*written["best"], *(place - len(warm) for place in written["best_warm"])]
    settings = [_with_all(one, [*warm, *asks]) for one in settings]
    return SearchResults(
        name=written["search"],
        objectives=tuple(one["name"] for one in written["objectives"]),
        directions=tuple(1 if one["direction"] == "minimize" else -1 for one in written["objectives"]),
        settings=tuple(settings),
        ranked=importance["refused"] is None,
        importance=importance,
        trials=(*warm, *asks),
        best=frozenset(best),
    )


def _axis(written: Mapping[str, Any]) -> SettingAxis:
    choices = tuple(written.get("choices", ()))
    low, high = (0.0, len(choices) - 1.0) if choices else (float(written["low"]), float(written["high"]))
    return SettingAxis(written["name"], low, high, bool(written.get("log")), choices, written["kind"] == "ordered")


def _with_all(setting: SettingAxis, trials: Sequence[AskedTrial]) -> SettingAxis:
    """Return a range with all that was drawn from it: it may have been narrowed since."""
    if setting.choices:
        return setting
    drawn = [setting.place(one.values[setting.name]) for one in trials if setting.name in one.values]
    return replace(setting, low=min([setting.low, *drawn]), high=max([setting.high, *drawn]))


def _numbers(texts: Mapping[str, str], settings: Sequence[SettingAxis]) -> dict[str, Any]:
    """Return a warm start's values, which are written as on a command line, as those of asks are."""
    ranges = {one.name for one in settings if not one.choices}
    return {name: float(text) if name in ranges else text for name, text in texts.items()}


def _figures(objectives: Sequence[float | None] | None) -> tuple[float, ...] | None:
    """Return the objectives; None where one is no finite number, which JSON has no word for."""
    return None if objectives is None or None in objectives else tuple(map(float, objectives))  # type: ignore[arg-type]


def near_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest of `values` that are no further out than FAR times the middle half of them."""
    import numpy as np

    low, high = np.percentile(values, (25, 75))
    reach = FAR * (high - low)
    near = [one for one in values if low - reach <= one <= high + reach]
    return min(near), max(near)


def limit_axis(axes: Axes, values: Sequence[float]) -> list[float]:
    """Set the y limits so that far values do not hide the others, and return where each value is drawn."""
    low, high = near_limits(values)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    axes.set_ylim(low - room, high + room)
    return [min(max(one, low - room), high + room) for one in values]


def set_setting_axis(axes: Axes, setting: SettingAxis, which: str = "x") -> None:
    """Name and scale an axis of `axes` for a setting."""
    set_scale, set_label = getattr(axes, f"set_{which}scale"), getattr(axes, f"set_{which}label")
    set_label(setting.short_name + (" (log scale)" if setting.log else ""))
    if not setting.choices:
        set_scale("log" if setting.log else "linear")
        room = 0.04 * (math.log(setting.high / setting.low) if setting.log else setting.high - setting.low)
        ends = (setting.low * math.exp(-room), setting.high * math.exp(room)) if setting.log else (setting.low - room, setting.high + room)
        if ends[0] < ends[1]:
            getattr(axes, f"set_{which}lim")(ends)
        return
    places = range(len(setting.choices))
    shown = [place for place in places if len(places) <= NAMED_CHOICES or place % (len(places) // NAMED_CHOICES + 1) == 0]
    longest = max(len(setting.choices[place]) for place in shown)
    turned = {"rotation": 35, "ha": "right"} if which == "x" and longest * len(shown) > 20 else {}
    getattr(axes, f"set_{which}ticks")(shown, [setting.choices[place][:18] for place in shown], **turned)
    getattr(axes, f"set_{which}lim")(-0.5, len(places) - 0.5)
