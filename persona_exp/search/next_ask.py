"""What a worker that is free would run next, and why: as pending_asks decides it, but nothing is sealed, linked or begun."""

from dataclasses import dataclass
from typing import Any, Literal

from optuna.trial import TrialState

from persona_exp.counted_noun import counted
from persona_exp.search.ask_files import Ask
from persona_exp.search.composed_configs import ComposedConfigs
from persona_exp.search.pruning import promotable
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.suggestion import suggest
from persona_exp.trial.attempt_records import attempt_files

Kind = Literal["interrupted", "open", "promoted", "new", "none"]


@dataclass(frozen=True)
class NextAsk:
    """`number` and `overrides` of the ask; of kind `none` there is none, and `why` says so."""

    kind: Kind
    why: str
    number: int | None = None
    overrides: dict[str, str] | None = None


def next_ask(study: RebuiltStudy, composed: ComposedConfigs) -> NextAsk:
    """Return what comes next as of the study's last refresh. Raise UserError where the sampler cannot be made."""
    open_asks = [ask for ask, result in zip(study.asks, study.results, strict=True) if ask and result.state == "open"]
    begun = [ask for ask in open_asks if _begun(study, ask)]
    if begun:
        return _of_ask("interrupted", "it was interrupted, and any worker goes on with it", begun[0])
    if open_asks:
        return _of_ask("open", "it has been asked, and nobody has begun it", open_asks[0])
    if promoted := promotable(study):
        losses = study.results[promoted[0].number].losses
        why = f"it was paused at step {max(losses)} and is among the best of that rung by now"
        return _of_ask("promoted", why, promoted[0])
    number, n_trials = len(study.asks), study.settings.n_trials
    if number >= n_trials:
        counted = {state: sum(one.state == state for one in study.results) for state in ("running", "paused")}
        waits = f"; {counted['running']} still {'runs' if counted['running'] == 1 else 'run'}" if counted["running"] else ""
        paused = f"; {counted['paused']} paused, none of them among the best of its rung" if counted["paused"] else ""
        return NextAsk("none", f"all {number} have been asked for{waits}{paused}")
    what = suggest(study, composed, number)
    study.forget_last()
    return NextAsk("new", _sampler_sentence(study), number, what.overrides)


def _begun(study: RebuiltStudy, ask: Ask) -> bool:
    return any(attempt_files(study.runs / "trials" / one.trial_id) for one in ask.trials)


def _of_ask(kind: Kind, why: str, ask: Ask) -> NextAsk:
    return NextAsk(kind, why, ask.number, ask.overrides)


def _sampler_sentence(study: RebuiltStudy) -> str:
    """Return which sampler suggests it, and from what."""
    config: dict[str, Any] = study.settings.sampler
    name, startup = str(config["_target_"]).rsplit(".", 1)[-1], config.get("n_startup_trials")
    finished = len(study.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    if startup and finished < startup:
        return f"suggested by {name}, at random until {counted(startup, 'trial', 'has', 'have')} a result (n_startup_trials)"
    return f"suggested by {name} from {finished} results"
