"""The next ask: what the sampler suggests, sealed and linked; the first to link a number has made it."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import distribution_to_json

from persona_exp.config.trial_identity import GROUPS_READ
from persona_exp.errors import UserError
from persona_exp.process_identity import this_process
from persona_exp.search.ask_files import Ask, AskedTrial, ask_path, create_ask
from persona_exp.search.composed_configs import ComposedConfigs
from persona_exp.search.constraints import excesses, parse_constraint
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.samplers import make_sampler
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.seal import flush_to_disk, seal
from persona_exp.trial.seal_facts import read_seal_facts

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

# What a trial would need of each measure that is known before it runs, such as peak_memory_gb; what is not known is left out.
Estimate = Callable[["Config"], Mapping[str, float]]

# Groups of the config that a method may leave unread.
READ_BY_METHOD = ("lora", "optim", "train")

LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Suggestion:
    """What the sampler gave as ask `number`: `params` by name as it has them, `overrides` as on a command line."""

    number: int
    params: dict[str, Any]
    overrides: dict[str, str]
    lines: tuple[str, ...]
    choices: dict[str, str]


def ask_next(study: RebuiltStudy, composed: ComposedConfigs, estimate: Estimate = lambda config: {}) -> Ask | None:
    """Return the next ask, sealed and linked; None when the study has as many as it asks for.

    Settings that do not go together make an ask that is refused, and count. Where another is faster, its ask stands, and this one is made
    anew with the next number, after a pause drawn at random: those who ask at once would else all be late again. It is as long as some
    asks take, and twice as long each time.
    """
    # Not the process's own generator, which training may have seeded.
    draws = random.SystemRandom()
    lost = 0
    while True:
        began = time.monotonic()
        study.refresh()
        number = len(study.asks)
        if number >= study.n_trials():
            return None
        try:
            what = suggest(study, composed, number)
            # Sealing is what takes time: in vain, where many ask at once and another was faster.
            ask = None if ask_path(study.folder, number).exists() else _sealed(study, composed, what, estimate)
        except BaseException:
            # The study must not keep what was suggested and never asked.
            study.forget_last()
            raise
        if ask and create_ask(study.folder, ask):
            study.accept(ask)
            return ask
        study.forget_last()
        time.sleep(min(LONGEST_PAUSE_SECONDS, draws.uniform(0, 2**lost) * (time.monotonic() - began)))
        lost += 1


def suggest(study: RebuiltStudy, composed: ComposedConfigs, number: int) -> Suggestion:
    """Return what the sampler suggests as ask `number`, which stands in the study as running then.

    A setting that the method of the chosen config does not read is not asked for: full fine-tuning has no rank.
    """
    settings = study.settings
    study.study.sampler = make_sampler(settings.sampler, study.space, study_seed=settings.seed, number=number, offset=study.offset)
    trial = study.study.ask()
    assert trial.number == number + study.offset
    params: dict[str, Any] = {}
    overrides: dict[str, str] = {}
    lines: list[str] = []
    # What was composed beforehand first, for it decides which of the others there are.
    chosen = [one for one in study.space if one.key in settings.composed]
    for one in chosen:
        params[one.name] = one.suggest(trial)
    choices = {one.key: one.text(params[one.name]) for one in chosen}
    unread = set(READ_BY_METHOD) - set(GROUPS_READ[composed.method(choices)])
    for one in study.space:
        if one not in chosen:
            if one.group in unread:
                continue
            params[one.name] = one.suggest(trial)
            lines.append(f"{one.key}={one.text(params[one.name])}")
        overrides[one.name] = one.text(params[one.name])
    if settings.custom_search_space:
        hydra.utils.get_method(settings.custom_search_space)(composed.composed(choices), trial)
        own = {name: value for name, value in trial.params.items() if name not in params}
        params |= own
        overrides |= {name: f"{value}" for name, value in own.items()}
        lines += [f"{name}={value}" for name, value in own.items()]
    return Suggestion(number, params, overrides, tuple(lines), choices)


def _sealed(study: RebuiltStudy, composed: ComposedConfigs, what: Suggestion, estimate: Estimate) -> Ask:
    try:
        return _sealed_trials(study, composed, what, estimate)
    except UserError as error:
        return made_ask(study, what, (), refused=f"these settings do not go together: {error}")


def _sealed_trials(study: RebuiltStudy, composed: ComposedConfigs, what: Suggestion, estimate: Estimate) -> Ask:
    settings = study.settings
    config = composed.config(what.choices, what.lines)
    broken = excesses([parse_constraint(one) for one in settings.constraints], estimate(config))
    too_much = [text for text, excess in broken.items() if excess > 0]
    trials = []
    for seed in range(config.seed, config.seed + settings.seeds):
        sealed = seal(replace(config, seed=seed), command=settings.command, inputs=composed.inputs(what.choices))
        eval_id = read_seal_facts(sealed.path)["evaluations"].get("adapter")
        trials.append(AskedTrial(sealed.trial_id, sealed.path.name, eval_id))
    flush_to_disk(study.runs)
    return made_ask(study, what, trials, constraints=broken, refused=f"by the estimate it would break {too_much[0]}" if too_much else None)


def made_ask(
    study: RebuiltStudy,
    what: Suggestion,
    trials: Sequence[AskedTrial],
    *,
    constraints: Mapping[str, float] | None = None,
    refused: str | None = None,
) -> Ask:
    """Return the ask of a suggestion that stands in the study as its newest trial, with what the sampler keeps of it and of the study."""
    study_id, storage = study.study._study_id, study.study._storage
    trial = study.study.get_trials(deepcopy=False)[-1]
    drawn = {one.name for one in study.space}
    return Ask(
        number=what.number,
        overrides=what.overrides,
        params=what.params,
        trials=tuple(trials),
        attributes=dict(trial.system_attrs),
        study_attributes=dict(storage.get_study_system_attrs(study_id)),
        custom={name: distribution_to_json(trial.distributions[name]) for name in what.params if name not in drawn},
        constraints=dict(constraints or {}),
        known=study.known,
        by={**this_process(), "at": utc_now()},
        refused=refused,
    )


def parse_lines(lines: tuple[str, ...]) -> tuple[Any, ...]:
    """Return overrides in Hydra's grammar. Raise UserError where one is not."""
    parser = OverridesParser.create()
    try:
        return tuple(parser.parse_overrides(list(lines)))
    except hydra.errors.HydraException as error:
        raise UserError(f"{' '.join(lines)}: {error}") from error
