"""What was composed at a search's submission, for every choice of config groups: a worker makes configs of it and reads no conf/."""

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from persona_exp import atomic_files
from persona_exp.config.schema.composition import OF_SWEEP
from persona_exp.errors import UserError
from persona_exp.search.grid import Point
from persona_exp.search.resolve_points import SharedConfig
from persona_exp.search.search_space import Setting
from persona_exp.study_folder import STUDY

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.trial.seal import SealedInputs

NAME = "composed.json"
# More of them are a mistake, or days of composing and of building data.
MOST = 512
# Settings that decide which data are built, or which model is fetched: of these only choices, all made ready beforehand.
PREPARED = ("persona", "others", "corpus", "teacher", "data", "model")
# Drawn from what is built, or read elsewhere.
DRAWN = ("data.mix", "data.size", "data.seed", "corpus.min_confidence", "model.lr", "model.micro_batch_size", "model.target_modules")

Choices = Mapping[str, str]


@dataclass(frozen=True)
class _Entry:
    choices: dict[str, str]
    composed: DictConfig
    inputs: dict[str, Any]


class ComposedConfigs:
    """The configs of every choice, as they were composed, with what sealing needs to know of their data and models.

    With `runs`, that is the folder of all runs, whatever a process's own variables and working directory make of the setting.
    """

    def __init__(self, entries: Sequence[_Entry], runs: Path | None = None) -> None:
        self._entries = {_key(one.choices): one for one in entries}
        self._runs = runs
        # Checked once for each choice: an ask costs its own settings then, and not a whole config.
        self._shared: dict[str, SharedConfig] = {}

    def composed(self, choices: Choices) -> DictConfig:
        """Return what was composed for these choices, interpolations as they are."""
        return self._entries[_key(choices)].composed

    def method(self, choices: Choices) -> str:
        """Return the name of the method of these choices."""
        return str(self.composed(choices).method.name)

    def config(self, choices: Choices, lines: Sequence[str]) -> "Config":
        """Return the checked config of these choices with the overrides `lines` set. Raise UserError where one is refused."""
        from persona_exp.search.suggestion import parse_lines

        composed = self.composed(choices)
        shared = self._shared.setdefault(_key(choices), SharedConfig(composed))
        config = shared.with_values(Point(composed, parse_lines(tuple(lines)), {}))
        runs = str(self._runs) if self._runs else config.runs
        return replace(config, runs=runs, evaluation=replace(config.evaluation, split="validation"))

    def default(self, choices: Choices, name: str) -> str | None:
        """Return what the setting `name` is where nothing sets it; None where that is not there, or chosen beforehand."""
        chosen = {key.lstrip("+~") for key in choices}
        found = None if name in chosen else OmegaConf.select(self.composed(choices), name, throw_on_missing=False)
        return None if found is None or OmegaConf.is_config(found) else str(found)

    def inputs(self, choices: Choices) -> "SealedInputs":
        """Return the data and the model that were made ready for these choices."""
        from persona_exp.trial.seal import SealedInputs

        return SealedInputs(**self._entries[_key(choices)].inputs)

    @property
    def first_inputs(self) -> "SealedInputs":
        """The data and the model of the first choice."""
        return self.inputs(next(iter(self._entries.values())).choices)

    @property
    def fixed(self) -> str:
        """Digest over all that was composed: the same study has the same."""
        return atomic_files.digest([[one.choices, _identity(one.composed), one.inputs] for one in self._entries.values()])

    def write(self, sweep_folder: Path) -> None:
        """Write them into a search's folder."""
        entries = [
            {"choices": one.choices, "composed": OmegaConf.to_container(one.composed, resolve=False), "inputs": one.inputs}
            for one in self._entries.values()
        ]
        text = json.dumps(entries, ensure_ascii=False)
        # Workers elsewhere, and a later clone, stand in no study.
        if study := os.environ.get(STUDY):
            text = text.replace(f"${{oc.env:{STUDY}}}", json.dumps(study, ensure_ascii=False)[1:-1])
        atomic_files.write_text(sweep_folder / NAME, f"{text}\n")


def read_composed(sweep_folder: Path) -> ComposedConfigs:
    """Return what `ComposedConfigs.write` wrote. Raise UserError where that is missing or damaged."""
    path = sweep_folder / NAME
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        entries = [_Entry(one["choices"], OmegaConf.create(one["composed"]), one["inputs"]) for one in written]
        return ComposedConfigs(entries, sweep_folder.absolute().parent.parent)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): give the search's command again.") from error


def composed_beforehand(space: Sequence[Setting], changes_structure: Callable[[str], bool]) -> list[Setting]:
    """Return those settings whose choices are composed and made ready beforehand. Raise UserError where one has no end of values."""
    found = []
    for one in space:
        prepared = one.group in PREPARED and not any(one.name == key or one.name.startswith(f"{key}.") for key in DRAWN)
        if not (prepared or changes_structure(one.key)):
            continue
        if one.points() is None:
            raise UserError(f"{one.name} decides on data or model, which are made ready before the search begins: list its values.")
        found.append(one)
    return found


def compose_choices(
    settings: Sequence[Setting], compose: Callable[[Sequence[str]], DictConfig], prepare: Callable[[DictConfig], "SealedInputs"]
) -> ComposedConfigs:
    """Return what `compose` gives for every choice of `settings`, their data and models made ready by `prepare`. Raise UserError."""
    texts = [[one.text(value) for value in one.points() or ()] for one in settings]
    combinations = list(itertools.product(*texts))
    if len(combinations) > MOST:
        raise UserError(f"The search has {len(combinations)} combinations of groups, data and models: give at most {MOST}.")
    entries = []
    for chosen in combinations:
        choices = {one.key: text for one, text in zip(settings, chosen, strict=True)}
        composed = compose([f"{key}={text}" for key, text in choices.items()])
        inputs = prepare(composed)
        for key, value in {"location": inputs.model_location, "revision": inputs.model_revision}.items():
            OmegaConf.update(composed, f"model.{key}", value, force_add=True)
        entries.append(_Entry(choices, composed, asdict(inputs)))
    return ComposedConfigs(entries)


def _key(choices: Choices) -> str:
    return atomic_files.canonical_json(dict(choices))


def _identity(composed: DictConfig) -> dict[str, Any]:
    """Return what was composed without the groups that change no trial; how is measured decides what objectives mean."""
    container = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key not in ("cluster", "tracker", "bundle", "runs", *OF_SWEEP)}
