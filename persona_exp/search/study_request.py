"""What a person's command asks a search to be, from Hydra's overrides and hydra.sweeper's settings; nothing is written yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from persona_exp import atomic_files
from persona_exp.config.compose import sweep_label
from persona_exp.config.schema.composition import SEARCH_DEFAULTS
from persona_exp.config.schema.sweep_label import SweepLabel
from persona_exp.errors import UserError
from persona_exp.search.composed_configs import ComposedConfigs, compose_choices, composed_beforehand
from persona_exp.search.constraints import parse_constraint
from persona_exp.search.grid import changes_structure, compose_group_choices
from persona_exp.search.pruning import make_pruner
from persona_exp.search.samplers import GRID, grid_points, make_sampler
from persona_exp.search.search_space import Setting, setting_of, settings_of_search_space
from persona_exp.search.study_export import absolute_storage
from persona_exp.search.study_settings import COSTS, StudySettings
from persona_exp.search.sweeper_options import SweeperOptions
from persona_exp.trial.recorded_sweep import read_sweep

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.trial.seal import SealedInputs

DIRECTIONS = ("minimize", "maximize")
# Metrics of generated replies.
GENERATED = ("rouge1", "rouge2", "rougeL", "bleu", "jaccard", "truncated_replies", "looping_replies", "period_terms_per_1000_words")


@dataclass(frozen=True)
class StudyRequest:
    """A search as it was asked for: `first` is a config of it, with the base model that all are compared with; `slug` is for its name
    where `label` has none.

    `earlier` are the sweeps of search.from; `notes` say what a user of hydra-optuna-sweeper would not expect.
    """

    settings: StudySettings
    composed: ComposedConfigs
    first: "Config"
    slug: tuple[str, ...]
    label: SweepLabel
    earlier: tuple[str, ...]
    notes: tuple[str, ...] = ()


def study_request(
    arguments: Sequence[str],
    options: SweeperOptions,
    *,
    command: str,
    config_name: str,
    hydra_overrides: Sequence[str],
    loader: ConfigLoader,
    dry_runs: Path | None = None,
) -> StudyRequest:
    """Return the search that `arguments` in Hydra's grammar ask for, its data built and its models fetched. Raise UserError.

    `hydra_overrides` are those of Hydra's own settings. With `dry_runs` that folder takes the place of runs/, and no teacher is asked.
    """
    from persona_exp.trial.code_snapshot import snapshot

    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides(list(arguments))
    swept = [override for override in overrides if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    space = [*settings_of_search_space(options.search_space, parser.parse_override), *map(setting_of, swept)]
    if not space and not options.custom_search_space:
        raise UserError("The search has nothing to draw: give a setting a range or choices, as in 'optim.lr=tag(log,interval(1e-5,1e-3))'.")
    _refuse_given_twice(overrides, space)
    beforehand = composed_beforehand(space, lambda key: changes_structure(key, loader))
    whole = compose_group_choices(config_name, [*hydra_overrides, *fixed], loader)
    search, label = _search_settings(whole), _label(sweep_label(whole), options.study_name)
    _refuse_test_split(fixed)
    # Whatever is wrong is found before data are built.
    objectives, directions = _objectives(search, options.direction)
    constraints = [parse_constraint(one) for one in options.constraints]
    _check_measures([one.measure for one in constraints], "hydra.sweeper.constraints")
    seeds, study_seed = _seeds(search), int(options.sampler.get("seed") or 0)
    make_sampler(options.sampler, space, study_seed=study_seed, number=0, offset=0)

    def compose(choices: Sequence[str]) -> DictConfig:
        composed = compose_group_choices(config_name, [*hydra_overrides, *choices, *fixed], loader)
        composed.search = dict(SEARCH_DEFAULTS)
        if dry_runs is not None:
            composed.runs = str(dry_runs)
        return composed

    def check(config: "Config") -> None:
        _check_pruning(config, options, seeds)
        _check_measurable(config, objectives)

    earlier = tuple(map(str, search["from"]))
    others = [one for one in space if one not in beforehand]
    composed, first = _prepared(beforehand, others, compose, check, earlier, may_ask=dry_runs is None)
    settings = StudySettings(
        command=command,
        space=tuple(one.to_json() for one in space),
        composed=tuple(one.key for one in beforehand),
        objectives=objectives,
        directions=directions,
        n_trials=_n_trials(options, space),
        sampler=dict(options.sampler),
        pruner=dict(options.pruner) if options.pruner else None,
        pauses=bool(options.pruner.get("pauses")),
        seeds=seeds,
        seed=study_seed,
        constraints=tuple(one.text for one in constraints),
        max_failure_rate=float(options.max_failure_rate),
        custom_search_space=options.custom_search_space,
        fixed=composed.fixed,
        code_folder=snapshot(Path(first.runs)).name,
        engine=first.engine.name,
        storage=absolute_storage(options.storage, Path.cwd()),
        earlier=earlier,
    )
    slug = tuple(argument for argument, override in zip(arguments, overrides, strict=True) if override.is_sweep_override())
    return StudyRequest(settings, composed, first, slug, label, earlier, _notes(swept, options, objectives, first))


def _prepared(
    beforehand: Sequence[Setting],
    others: Sequence[Setting],
    compose: Callable[[Sequence[str]], DictConfig],
    check: Callable[["Config"], None],
    earlier: Sequence[str],
    *,
    may_ask: bool,
) -> tuple[ComposedConfigs, "Config"]:
    """Compose every choice of `beforehand`, check it and build its data; return all of them, and the config of the first.

    Of the first the values of the `others` are tried too, and the sweeps `earlier` are read. Raise UserError, without `may_ask` also where
    a teacher would have to be asked.
    """
    from persona_exp.trial.seal import make_inputs
    from persona_exp.trial.trial_dataset import refuse_to_ask

    checked: list[Config] = []

    def prepare(composed: DictConfig) -> "SealedInputs":
        config = _config_at(composed, _first(others))
        if not checked:
            _refuse_values(composed, others)
            for name in earlier:
                read_sweep(Path(config.runs), name)
        check(config)
        checked.append(config)
        if not may_ask:
            refuse_to_ask(config)
        return make_inputs(config)

    return compose_choices(beforehand, compose, prepare), checked[0]


def _notes(swept: Sequence[Override], options: SweeperOptions, objectives: Sequence[str], config: "Config") -> tuple[str, ...]:
    """Return what is otherwise than in hydra-optuna-sweeper of what this command uses, or than an objective's name says."""
    timed = (
        [one for one in objectives if one in ("seconds", "gpu_seconds")] if config.engine.name == "fused" and config.bundle.size > 1 else []
    )
    ranges = [one.input_line for one in swept if isinstance(one.value(), RangeSweep)]
    notes = {
        f"search.objective={timed[0] if timed else ''} is a trial's share of its bundle's time by tokens, which is the same for all ranks: "
        "bundle.size=1 times each trial.": bool(timed),
        f"{ranges[0] if ranges else ''}: a range leaves out its end, as everywhere in Hydra.": bool(ranges),
        "hydra.sweeper.n_jobs is the launcher's: so many workers, none of which waits for another.": options.n_jobs is not None,
        f"hydra.sweeper.storage={options.storage} is written when the search ends; the study is its folder.": bool(options.storage),
    }
    return tuple(note for note, applies in notes.items() if applies)


def name_digest(settings: StudySettings) -> str:
    """Return eight hex digits of what a search is, whatever the number of its trials: the same command goes on with the same one."""
    what = replace(settings, command="", n_trials=0, max_failure_rate=0, storage=None, warm=(), code_folder="")
    return atomic_files.digest(asdict(what))[:8]


def _label(label: SweepLabel, study_name: str | None) -> SweepLabel:
    """Return what the search is called: hydra.sweeper.study_name is sweep.name by another word. Raise UserError where they differ."""
    # hydra.sweeper.study_name=2024 is a number to Hydra.
    study_name = None if study_name is None else str(study_name)
    if study_name is None or study_name == label.name:
        return label
    if label.name is not None:
        raise UserError(f"sweep.name={label.name} and hydra.sweeper.study_name={study_name} are two names of one search: give one of them.")
    return replace(label, name=study_name)


def _search_settings(composed: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(composed.search)
    assert isinstance(found, dict)
    if unknown := sorted(set(found) - set(SEARCH_DEFAULTS)):
        raise UserError(f"There is no setting search.{unknown[0]}: search has {', '.join(SEARCH_DEFAULTS)}.")
    earlier = found["from"]
    return {**{str(key): value for key, value in found.items()}, "from": [earlier] if isinstance(earlier, str) else earlier or []}


def _refuse_given_twice(overrides: Sequence[Override], space: Sequence[Setting]) -> None:
    """Raise UserError for a setting that is searched twice, or searched and set: which of them is meant, the order would not tell."""
    names = [one.name for one in space]
    names += [str(one.get_key_element()).lstrip("+~") for one in overrides if not one.is_sweep_override()]
    if twice := [one.name for one in space if names.count(one.name) > 1]:
        raise UserError(f"{twice[0]} is given twice: leave one out.")


def _refuse_test_split(fixed: Sequence[str]) -> None:
    if any(one.replace(" ", "") in ("evaluation.split=test", "++evaluation.split=test") for one in fixed):
        raise UserError("evaluation.split=test cannot be searched on: a search measures on the validation split, the test is for reports.")


def _refuse_values(composed: DictConfig, others: Sequence[Setting]) -> None:
    """Raise UserError for an end of a range, or a choice, that is refused in the same words with the first values of all others and with
    the last: it never goes. What goes with some values of others is left to the asks."""
    first, last = _first(others), {one.key: one.text(_edges(one)[-1]) for one in others}
    for one in others:
        for text in map(one.text, _edges(one)):
            refusal = _refusal(composed, {**first, one.key: text})
            if refusal and refusal == _refusal(composed, {**last, one.key: text}):
                raise UserError(refusal)


def _refusal(composed: DictConfig, texts: Mapping[str, str]) -> str | None:
    try:
        _config_at(composed, texts)
    except UserError as error:
        return str(error)
    return None


def _config_at(composed: DictConfig, texts: Mapping[str, str]) -> "Config":
    """Return what was composed with each other setting as in `texts`, by key: a config as one of the search's may be."""
    from persona_exp.search.grid import Point
    from persona_exp.search.resolve_points import resolve_points
    from persona_exp.search.suggestion import parse_lines

    (config,) = resolve_points([Point(composed, parse_lines(tuple(f"{key}={text}" for key, text in texts.items())), {})])
    return replace(config, evaluation=replace(config.evaluation, split="validation"))


def _first(settings: Sequence[Setting]) -> dict[str, str]:
    """Return the first value of each, by key and as it stands on a command line."""
    return {one.key: one.text(_edges(one)[0]) for one in settings}


def _edges(setting: Setting) -> Sequence[Any]:
    """Return all choices, or both ends of a range."""
    found = setting.distribution
    if setting.texts:
        return setting.points() or ()
    return [found.low, found.high]  # type: ignore[attr-defined]


def _check_pruning(config: "Config", options: SweeperOptions, seeds: int) -> None:
    if not options.pruner or config.engine.name == "noop":
        return
    make_pruner(options.pruner)
    if seeds > 1:
        raise UserError(f"search.seeds={seeds} and a pruner do not go together: seeds come to a step at different times; leave one out.")
    kind = str(options.pruner["_target_"]).rsplit(".", 1)[-1]
    if config.train.max_steps is not None and (config.train.eval_steps or 0) >= config.train.max_steps:
        raise UserError(f"The pruner {kind} would never decide: set train.eval_steps below train.max_steps={config.train.max_steps}.")
    if config.train.eval_steps is None:
        raise UserError(f"The pruner {kind} decides at validations, and there are none: set train.eval_steps=STEPS.")
    if config.engine.name != "fused":
        raise UserError(f"The pruner {kind} needs engine=fused, whose trials are validated: leave out hydra/sweeper/pruner.")


def _check_measurable(config: "Config", objectives: Sequence[str]) -> None:
    if config.method.name == "none":
        raise UserError("method=none trains nothing that could be searched: the base model is measured beside every search.")
    if "peak_memory_gb" in objectives and config.engine.name == "fused" and config.bundle.size > 1:
        raise UserError("search.objective=peak_memory_gb is known only of a trial that shares no process: add bundle.size=1.")
    generated = [one for one in objectives if one in GENERATED]
    if generated and not config.evaluation.generated_items:
        raise UserError(f"search.objective={generated[0]} is measured on replies, and there are none: set evaluation.generated_items.")


def _objectives(search: Mapping[str, Any], direction: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    given = search["objective"]
    objectives = (given,) if isinstance(given, str) else tuple(map(str, given))
    _check_measures(objectives, "search.objective")
    if len(set(objectives)) < len(objectives) or not objectives:
        raise UserError(f"search.objective={list(objectives)} must name each objective once.")
    directions = (direction,) * len(objectives) if isinstance(direction, str) else tuple(map(str, direction))
    if wrong := [one for one in directions if one not in DIRECTIONS]:
        raise UserError(f"hydra.sweeper.direction={wrong[0]} must be minimize or maximize.")
    if len(directions) != len(objectives):
        raise UserError(f"hydra.sweeper.direction has {len(directions)} directions for {len(objectives)} objectives: give one for each.")
    return objectives, directions


def _check_measures(names: Sequence[str], where: str) -> None:
    from persona_exp.evaluation.evaluation_metrics import POSSIBLE

    known = (*POSSIBLE, *COSTS)
    for name in names:
        if name.startswith("test"):
            raise UserError(f"{where}={name}: objectives come from the validation split; the test is for what is reported afterwards.")
        if name not in known:
            raise UserError(f"{where}={name} is not measured: choose one of {', '.join(known)}.")


def _seeds(search: Mapping[str, Any]) -> int:
    seeds = search["seeds"]
    if not isinstance(seeds, int) or seeds < 1:
        raise UserError(f"search.seeds={seeds} must be a whole number above 0.")
    return seeds


def _n_trials(options: SweeperOptions, space: Sequence[Setting]) -> int:
    if options.sampler.get("_target_") == GRID:
        return min(options.n_trials, len(grid_points(space)))
    return int(options.n_trials)
