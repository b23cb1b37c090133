"""The study in memory, rebuilt from asks and the files of their trials: any process has it, none owns it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from persona_exp.damaged_records import Damaged
from persona_exp.errors import UserError
from persona_exp.search.ask_files import Ask, ask_numbers, ranges, read_ask
from persona_exp.search.ask_results import SETTLED, AskResult, read_result
from persona_exp.search.constraints import excesses, parse_constraint
from persona_exp.search.search_space import Setting
from persona_exp.search.study_settings import read_settings

STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "paused": TrialState.PRUNED,
    "refused": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    # Optuna has no word for what nobody knows; it goes by no trial of this state.
    "damaged": TrialState.FAIL,
    "running": TrialState.RUNNING,
    "open": TrialState.RUNNING,
}
DAMAGED = AskResult("damaged", why="its file in asks/ is torn or is none of ours")


class RebuiltStudy:
    """The asks of a search with their results, and Optuna's study of them, as of the last `refresh`.

    `asks` has None for a number whose file is torn: it counts as asked, and has no result. The study's trials are numbered `offset` further
    than asks: warm starts come first.
    """

    def __init__(self, sweep_folder: Path) -> None:
        """Raise UserError where the folder is no search."""
        self.folder = sweep_folder
        self.settings = read_settings(sweep_folder)
        self.space = [Setting.from_json(one) for one in self.settings.space]
        self._constraints = [parse_constraint(one) for one in self.settings.constraints]
        self.asks: list[Ask | None] = []
        self.results: list[AskResult] = []
        self.study = self._empty()

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder.parent.parent

    @property
    def offset(self) -> int:
        """How many trials of the study were no asks."""
        return len(self.settings.warm)

    def n_trials(self) -> int:
        """Return how many asks the study has in all; a person may have raised it since."""
        if len(self.asks) >= self.settings.n_trials:
            self.settings = replace(self.settings, n_trials=read_settings(self.folder).n_trials)
        return self.settings.n_trials

    @property
    def known(self) -> str:
        """Which asks have a result, as in `0-4,7`."""
        return ranges(number for number, one in enumerate(self.results) if one.state not in ("open", "running"))

    @property
    def damaged(self) -> list[int]:
        """The numbers whose files cannot be read."""
        return [number for number, one in enumerate(self.asks) if one is None]

    def refresh(self) -> None:
        """Read what was asked and what came of it since."""
        for number in self.damaged:
            # A listing may have been older than the file.
            if (again := self._read(number)) is not None:
                self.asks[number], self.results[number] = again, AskResult("open")
                self.study = self._rebuilt()
        changed: list[int] = []
        for number, ask in enumerate(self.asks):
            if ask is not None and self.results[number].state not in SETTLED:
                found = self._result(ask, self.results[number])
                if found != self.results[number]:
                    self.results[number] = found
                    changed.append(number)
        self._update(changed)
        self._read_new()

    def accept(self, ask: Ask) -> None:
        """Take up an ask that was made here: it stands in the study as it was suggested."""
        self.asks.append(ask)
        self.results.append(AskResult("refused", why=ask.refused) if ask.refused else AskResult("open"))
        if ask.refused:
            self.study = self._rebuilt()

    def forget_last(self) -> None:
        """Drop what was suggested here and another asked first."""
        self.study = self._rebuilt()

    def _read_new(self) -> None:
        for number in range(len(self.asks), max(ask_numbers(self.folder), default=-1) + 1):
            ask = self._read(number)
            self.asks.append(ask)
            self.results.append(self._result(ask, AskResult("open")) if ask else DAMAGED)
            try:
                frozen = self._frozen(number)
            except (KeyError, ValueError):
                # Another search's ask: its settings, or their values, are none of ours.
                self.asks[number], self.results[number] = None, DAMAGED
                ask, frozen = None, self._frozen(number)
            self.study.add_trial(frozen)
            if ask:
                self._add_attributes(self.study, ask)

    def _read(self, number: int) -> Ask | None:
        try:
            return read_ask(self.folder, number)
        except FileNotFoundError:
            return None

    def _result(self, ask: Ask, before: AskResult) -> AskResult:
        """Return what became of an ask, its constraints by what was measured; as `before` where a file server is away for a moment.

        A damaged file of its trial concerns that ask alone.
        """
        try:
            return self._read_result(ask)
        except Damaged as error:
            return AskResult("damaged", why=str(error))
        except UserError as error:
            return AskResult("failed", why=str(error))
        except OSError:
            # It is read again at the next look.
            return before

    def _read_result(self, ask: Ask) -> AskResult:
        objectives, pruner = self.settings.objectives, self.settings.pruner
        bounded = [one.measure for one in self._constraints]
        found = read_result(self.runs, self.folder.name, ask, objectives, losses=pruner is not None, others=bounded)
        return replace(found, constraints=excesses(self._constraints, found.others))

    def _update(self, changed: list[int]) -> None:
        """Bring the study to what `changed` asks have come to; anew where one was finished in it already."""
        storage, again = self.study._storage, False
        for number in changed:
            trial = storage.get_trial(number + self.offset)
            if trial.state.is_finished():
                again = True
                continue
            frozen = self._frozen(number)
            for step, loss in frozen.intermediate_values.items():
                storage.set_trial_intermediate_value(trial._trial_id, step, loss)
            for key, value in frozen.system_attrs.items():
                storage.set_trial_system_attr(trial._trial_id, key, value)
            if frozen.state.is_finished():
                storage.set_trial_state_values(trial._trial_id, frozen.state, frozen.values)
        if again:
            self.study = self._rebuilt()

    def _empty(self) -> Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(storage=InMemoryStorage(), study_name=self.folder.name, directions=self.settings.directions)  # type: ignore[arg-type]
        by_name = {one.name: one for one in self.space}
        for one in self.settings.warm:
            params = {name: by_name[name].value(text) for name, text in one.overrides.items()}
            study.add_trial(create_trial(values=list(one.values), params=params, distributions=self._distributions(params)))
        return study

    def _rebuilt(self) -> Study:
        study = self._empty()
        for number, ask in enumerate(self.asks):
            study.add_trial(self._frozen(number))
            if ask:
                self._add_attributes(study, ask)
        return study

    def _add_attributes(self, study: Study, ask: Ask) -> None:
        for key, value in ask.study_attributes.items():
            study._storage.set_study_system_attr(study._study_id, key, value)

    def _frozen(self, number: int) -> FrozenTrial:
        """Return an ask as a trial of the study."""
        ask, result = self.asks[number], self.results[number]
        state = STATES[result.state]
        if ask is None:
            return create_trial(state=state)
        return create_trial(
            state=state,
            values=list(result.values) if result.values else None,
            params=ask.params,
            distributions=self._distributions(ask.params, ask.custom),
            system_attrs=ask.attributes,
            intermediate_values=result.losses if self.settings.prunes_by_loss and state != TrialState.FAIL else {},
            constraints={**ask.constraints, **result.constraints} or None,
        )

    def _distributions(self, params: dict[str, Any], custom: Mapping[str, str] = MappingProxyType({})) -> dict[str, BaseDistribution]:
        if any(one.name in params and not one.holds(params[one.name]) for one in self.space):
            # A person has widened a range since.
            self.space = [Setting.from_json(one) for one in read_settings(self.folder).space]
        by_name = {one.name: one.distribution for one in self.space} | {name: json_to_distribution(one) for name, one in custom.items()}
        return {name: by_name[name] for name in params}
