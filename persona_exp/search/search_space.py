"""The space that a search draws from: Hydra's grammar of sweeps read as Optuna's distributions, typed by the schema.

As hydra-optuna-sweeper reads it (https://hydra.cc/docs/plugins/optuna_sweeper), with three differences: `range` leaves its end out, as
everywhere in Hydra; a setting of the schema that is an integer stays one; `tag(ordered,choice(8,16,32))` keeps the order of choices.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, QuotedString, RangeSweep, Transformer
from omegaconf import BooleanNode, DictConfig, FloatNode, IntegerNode, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from persona_exp.config.schema import Config
from persona_exp.config.schema.composition import OF_SWEEP
from persona_exp.errors import UserError
from persona_exp.search.hydra_internals import unresolved_node

LOG, ORDERED = "log", "ordered"
# Groups of which nothing is any trial's own: searched, each of their values would be the same trial again.
OUTSIDE = ("evaluation", "tracker", "cluster", "bundle", "runs", *OF_SWEEP, "engine")


@dataclass(frozen=True)
class Setting:
    """A setting that is searched: its `key` as it is overridden, what it is drawn from, and of choices each one's text."""

    key: str
    distribution: BaseDistribution
    texts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The key without Hydra's + and ~."""
        return self.key.lstrip("+~")

    @property
    def group(self) -> str:
        """The config group that it is of."""
        return self.name.split(".")[0].split("@")[0]

    def text(self, value: Any) -> str:
        """Return a drawn value as it stands on a command line."""
        if self.texts:
            return self.texts[value if isinstance(self.distribution, IntDistribution) else int(self.distribution.to_internal_repr(value))]
        return repr(value)

    def value(self, text: str) -> Any:
        """Return the value of which `text` is the text. Raise ValueError where the setting has none such."""
        if self.texts:
            place = self.texts.index(text)
            return place if isinstance(self.distribution, IntDistribution) else self.distribution.to_external_repr(place)
        return int(text) if isinstance(self.distribution, IntDistribution) else float(text)

    def holds(self, value: Any) -> bool:
        """Return whether the setting may have the value, as a sampler has it."""
        try:
            return bool(self.distribution._contains(self.distribution.to_internal_repr(value)))
        except ValueError:
            return False

    def points(self) -> tuple[Any, ...] | None:
        """Return all values where they can be listed, else None."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return found.choices
        if isinstance(found, IntDistribution) and not (found.log and not self.texts):
            return tuple(range(found.low, found.high + 1, found.step))
        if isinstance(found, FloatDistribution) and found.step is not None:
            return tuple(found.low + found.step * number for number in range(round((found.high - found.low) / found.step) + 1))
        return None

    def suggest(self, trial: Any) -> Any:
        """Return what the optuna trial is given as this setting."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return trial.suggest_categorical(self.name, found.choices)
        if isinstance(found, IntDistribution):
            return trial.suggest_int(self.name, found.low, found.high, step=found.step, log=found.log)
        assert isinstance(found, FloatDistribution)
        return trial.suggest_float(self.name, found.low, found.high, step=found.step, log=found.log)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"key": self.key, "distribution": distribution_to_json(self.distribution), "texts": list(self.texts)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Setting":
        """Return what `to_json` gave."""
        return cls(str(written["key"]), json_to_distribution(written["distribution"]), tuple(written["texts"]))


def setting_of(override: Override) -> Setting:
    """Return what a sweep override asks to be searched. Raise UserError where it cannot be."""
    key = str(override.get_key_element())
    name, line = key.lstrip("+~"), override.input_line
    if name.split(".")[0] in OUTSIDE:
        raise UserError(f"{line} cannot be searched: {name.split('.')[0]} changes no trial.")
    value, kind = override.value(), _kind(name)
    tags = value.tags if isinstance(value, IntervalSweep | RangeSweep | ChoiceSweep) else set()
    if idle := tags - ({ORDERED} if isinstance(value, ChoiceSweep) else {LOG}):
        raise UserError(f"{line}: tag {sorted(idle)[0]} does nothing here; there are tag(log,interval(…)) and tag(ordered,choice(…)).")
    if isinstance(value, IntervalSweep):
        return Setting(key, _interval(value, kind, str(line)))
    shuffled = isinstance(value, RangeSweep | ChoiceSweep) and value.shuffle
    if isinstance(value, RangeSweep) and not shuffled:
        return Setting(key, _range(value, kind, str(line)))
    if isinstance(value, RangeSweep | ChoiceSweep):
        # Drawn from, their order does not matter, but must be the same in every process.
        value.shuffle = False
    return _choices(key, override, ordered=ORDERED in tags)


def settings_of_search_space(space: Mapping[str, Any], parse: Callable[[str], Override]) -> list[Setting]:
    """Return the settings of hydra.sweeper.search_space, as hydra-optuna-sweeper before 1.2 wrote them. Raise UserError."""
    found = []
    for key, what in space.items():
        try:
            found.append(setting_of(parse(f"{key}={_as_override(what)}")))
        except KeyError as error:
            raise UserError(f"hydra.sweeper.search_space.{key} lacks {error}: write it as hydra.sweeper.params.{key}.") from error
    return found


def _as_override(what: Mapping[str, Any]) -> str:
    kind, low, high = what["type"], what.get("low"), what.get("high")
    if kind == "categorical":
        return f"choice({','.join(map(str, what['choices']))})"
    if kind not in ("int", "float"):
        raise UserError(f"hydra.sweeper.search_space knows the types int, float and categorical, not {kind}.")
    if low is None or high is None:
        raise KeyError("low" if low is None else "high")
    if step := what.get("step"):
        # There both ends were part of a range.
        return f"range({low},{high + step},{step})"
    text = f"int(interval({low},{high}))" if kind == "int" else f"interval({low},{high})"
    return f"tag(log,{text})" if what.get("log") else text


def widened(settings: Iterable[Setting], before: Iterable[Setting]) -> list[Setting]:
    """Return `settings` for a study that was asked with others `before`. Raise UserError where Optuna cannot carry on with them.

    A range may widen; what can be chosen, and which settings there are, may not change.
    """
    from optuna.distributions import check_distribution_compatibility

    old = {one.key: one for one in before}
    found = list(settings)
    if {one.key for one in found} != set(old):
        changed = sorted({one.key for one in found} ^ set(old))
        raise UserError(f"The study was asked with other settings ({', '.join(changed)} differ): give another sweep.name.")
    for one in found:
        try:
            check_distribution_compatibility(old[one.key].distribution, one.distribution)
        except ValueError as error:
            raise UserError(f"{one.name} cannot change so within a study ({error}): give another sweep.name.") from error
        low, high = getattr(one.distribution, "low", 0), getattr(one.distribution, "high", 0)
        if low > getattr(old[one.key].distribution, "low", 0) or high < getattr(old[one.key].distribution, "high", 0):
            raise UserError(f"The range of {one.name} can only widen within a study: give another sweep.name.")
        if one.texts != old[one.key].texts:
            raise UserError(f"The choices of {one.name} cannot change within a study: give another sweep.name.")
    return found


def _kind(name: str) -> type | None:
    """Return int, float or bool of a setting of the schema; None of others, and of those that are not there."""
    node: Any = OmegaConf.structured(Config)
    for part in name.split("."):
        node = unresolved_node(node, part) if isinstance(node, DictConfig) and part in node.keys() else None  # noqa: SIM118
    kinds = {IntegerNode: int, FloatNode: float, BooleanNode: bool}
    return next((kind for made, kind in kinds.items() if isinstance(node, made)), None)


def _interval(value: IntervalSweep, kind: type | None, line: str) -> BaseDistribution:
    start, end, log = value.start, value.end, LOG in value.tags
    assert start is not None
    assert end is not None
    if not start < end:
        raise UserError(f"{line} is empty: give the lower end first.")
    if log and start <= 0:
        raise UserError(f"{line} has no logarithm at {start}: begin above 0.")
    if kind is bool:
        raise UserError(f"{line} is a range of true and false: list them, as in choice(true,false).")
    if kind is int or (kind is None and isinstance(start, int) and isinstance(end, int)):
        low, high = math.ceil(start), math.floor(end)
        if low > high:
            raise UserError(f"{line} holds no whole number, which {line.split('=')[0]} must be.")
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(start), float(end), log=log)


def _range(value: RangeSweep, kind: type | None, line: str) -> BaseDistribution:
    start, stop, step = value.start, value.stop, value.step
    assert start is not None
    assert stop is not None
    if step <= 0:
        # Hydra's grid runs downwards; drawn from, the order does not matter.
        start, stop, step = stop + abs(step), start + abs(step), abs(step)
    if LOG in value.tags:
        raise UserError(f"{line} has steps, and so no logarithm: take tag(log,interval({start},{stop})), or list the values.")
    # A part of a step is rounding, as in range(0,1,0.1).
    steps = math.ceil((stop - start) / step - 1e-9)
    if steps < 1:
        raise UserError(f"{line} is empty: its end is left out, as everywhere in Hydra.")
    whole = all(float(one).is_integer() for one in (start, step))
    if kind is int and not whole:
        raise UserError(f"{line} has parts of whole numbers, which {line.split('=')[0]} must be.")
    if (kind is int or not any(isinstance(one, float) for one in (start, stop, step))) and whole:
        return IntDistribution(int(start), int(start + step * (steps - 1)), step=int(step))
    last = round(start + step * (steps - 1), 12)
    return FloatDistribution(float(start), float(last), step=float(step))


def _choices(key: str, override: Override, *, ordered: bool) -> Setting:
    texts = tuple(dict.fromkeys(str(text) for text in override.sweep_string_iterator()))
    if not texts:
        raise UserError(f"{override.input_line} has nothing to choose from.")
    if ordered:
        return Setting(key, IntDistribution(0, len(texts) - 1), texts)
    encoded = list(override.sweep_iterator(transformer=Transformer.encode))
    plain = [_plain(one) for one in encoded]
    # Optuna knows what is equal in Python as one: of 1 and true, the texts tell them apart.
    choices = plain if len(set(plain)) == len(texts) == len(plain) else list(texts)
    return Setting(key, CategoricalDistribution(choices), texts)


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, QuotedString):
        return str(value.text)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
