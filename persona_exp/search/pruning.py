"""Pruning: Optuna's pruners on the validation losses of all asks, rebuilt from files wherever a trial is just validated.

The losses are on the scale of `train.eval_steps` whatever the objective, and lower is better. What a pruner keeps between its calls (the
rungs that trials have come to) is made again by going through the losses of each trial in their order.
"""

import math
from collections.abc import Mapping
from typing import Any

import hydra
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from persona_exp.errors import UserError
from persona_exp.search.ask_files import Ask
from persona_exp.search.ask_results import AskResult
from persona_exp.search.rebuilt_study import STATES, RebuiltStudy
from persona_exp.trial.attempt_records import PAUSED, PRUNED


def make_pruner(config: Mapping[str, Any]) -> BasePruner:
    """Return the pruner of hydra.sweeper.pruner. Raise UserError where Optuna does not know a setting of it."""
    target, given = str(config["_target_"]), {key: value for key, value in config.items() if key not in ("_target_", "pauses")}
    try:
        made = hydra.utils.get_class(target)(**{key: _made(value) for key, value in given.items()})
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"hydra.sweeper.pruner cannot be made of {target}: {error}.") from error
    if not isinstance(made, BasePruner):
        raise UserError(f"hydra.sweeper.pruner._target_={target} is no pruner of Optuna's.")
    return made


def _made(value: Any) -> Any:
    """Return a setting's value; a pruner within a pruner is made too."""
    return make_pruner(value) if isinstance(value, Mapping) and "_target_" in value else value


class StudyPruning:
    """The pruner of a search, for the training child that works on it."""

    def __init__(self, study: RebuiltStudy) -> None:
        """Raise UserError where the pruner cannot be made."""
        assert study.settings.pruner
        self.search = study.folder.name
        self._study = study
        make_pruner(study.settings.pruner)

    def verdict(self, trial_id: str) -> str | None:
        """Return "pruned", or "paused" where a rung is waited at, for the trial that was just validated; None where it goes on."""
        try:
            self._study.refresh()
        except (UserError, OSError) as error:
            # Another's file: no reason to give this one up, nor to fail it.
            print(f"Trial {trial_id} goes on unjudged: {error}", flush=True)
            return None
        number = ask_of_trial(self._study, trial_id)
        if number is None or not prunes(self._study, number):
            return None
        return PAUSED if self._study.settings.pauses else PRUNED


def ask_of_trial(study: RebuiltStudy, trial_id: str) -> int | None:
    """Return the number of the first ask that has this trial; None where none has."""
    return next((number for number, ask in enumerate(study.asks) if ask and any(one.trial_id == trial_id for one in ask.trials)), None)


def promotable(study: RebuiltStudy) -> list[Ask]:
    """Return the paused asks that are among the best of their rung by now, those that have come furthest first."""
    if not study.settings.pauses:
        return []
    paused = [(ask, result) for ask, result in zip(study.asks, study.results, strict=True) if ask and result.state == "paused"]
    found = [(ask, result) for ask, result in paused if result.losses and not prunes(study, ask.number)]
    return [ask for ask, result in sorted(found, key=lambda one: (-max(one[1].losses), one[1].losses[max(one[1].losses)]))]


def prunes(study: RebuiltStudy, number: int) -> bool:
    """Return whether the pruner, who knows the losses of all asks so far, gives up the ask of that number after its last one."""
    losses = study.results[number].losses
    assert study.settings.pruner
    if not losses:
        return False
    pruner = make_pruner(study.settings.pruner)
    shadow = optuna.create_study(storage=InMemoryStorage(), study_name=study.folder.name, direction="minimize", pruner=pruner)
    for other, result in enumerate(study.results):
        if other == number:
            shadow.add_trial(create_trial(state=TrialState.RUNNING))
        else:
            _add(shadow, pruner, other, result)
    return _report(shadow, pruner, number, losses)


def _add(shadow: Study, pruner: BasePruner, number: int, result: AskResult) -> None:
    """Add an ask to the study of losses, in the state that it is in, at the rungs that it has come to."""
    state, losses = STATES[result.state], result.losses
    if state == TrialState.COMPLETE and (not losses or not math.isfinite(losses[max(losses)])):
        # Answered by a trial that was never validated, or that ended in no number.
        state = TrialState.FAIL
    values = [losses[max(losses)]] if state == TrialState.COMPLETE else None
    if not _has_rungs(pruner):
        shadow.add_trial(create_trial(state=state, values=values, intermediate_values=losses))
        return
    shadow.add_trial(create_trial(state=TrialState.RUNNING))
    _report(shadow, pruner, number, losses)
    if state.is_finished():
        shadow._storage.set_trial_state_values(number, state, values)


def _report(shadow: Study, pruner: BasePruner, number: int, losses: Mapping[int, float]) -> bool:
    """Report the losses of a running trial one after the other; return what the pruner says to the last."""
    storage, pruned = shadow._storage, False
    for step, loss in losses.items():
        storage.set_trial_intermediate_value(number, step, loss)
        pruned = pruner.prune(shadow, storage.get_trial(number))
    return pruned


def _has_rungs(pruner: BasePruner) -> bool:
    inner = pruner._wrapped_pruner if isinstance(pruner, PatientPruner) else pruner
    return isinstance(inner, SuccessiveHalvingPruner | HyperbandPruner)
