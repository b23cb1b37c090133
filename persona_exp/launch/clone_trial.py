"""A trial added to a sweep that is there already: another's sealed config with some settings changed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.launch.sweeps import trial_set
from persona_exp.process_identity import this_process
from persona_exp.trial import forgotten_sweep
from persona_exp.trial.added_trials import AddedTrial, add_trial
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.recorded_sweep import sweep_names
from persona_exp.trial.seal import SealedInputs, flush_to_disk, read_seal, seal
from persona_exp.trial.seal_facts import read_seal_facts

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from persona_exp.config.schema import Config

# Settings that decide neither on data nor on a model: with these alone the origin's are taken as they were sealed.
READ_NO_DATA = ("optim", "lora", "seed")


def clone_trial(runs: Path, trial_id: str, lines: Sequence[str], *, warm: bool = False, sweep: str | None = None) -> tuple[str, AddedTrial]:
    """Seal the trial with the overrides `lines` set, add that to its sweep, and return the sweep's name and what was added.

    With `warm` it begins with the weights of the other one's adapter, which must be published. Of several sweeps that have the trial
    `sweep` says which. Raise UserError where a setting is refused, or the sweep has the new trial already; then nothing was added.
    """
    name = _sweep_of(runs, trial_id, sweep)
    folder = runs.absolute() / "sweeps" / name
    trials = trial_set.read(folder)
    path = runs.absolute() / "trials" / next(one.seal for one in trials if one.trial_id == trial_id)
    if warm:
        # In quotes, for it may be all digits.
        lines = [*lines, f"lora.init_from='{trial_id}'"]
    overrides = _parsed(lines)
    values = {one.get_key_element(): one.value() for one in overrides}
    config = _with_values(path, overrides)
    sealed = seal(config, command=shlex.join(["persona-exp", "clone", trial_id, *lines]), inputs=_inputs(path, config, list(values)))
    if sealed.trial_id in {one.trial_id for one in trials}:
        raise UserError(f"{' '.join(lines)} makes trial {sealed.trial_id}, which {name} has already: give other values.")
    flush_to_disk(sealed.directory.runs)
    facts = read_seal_facts(sealed.path)
    written = {key: value if isinstance(value, int | float | bool | list) else str(value) for key, value in values.items()}
    by = {**this_process(), "at": utc_now()}
    added = AddedTrial(sealed.trial_id, sealed.path.name, trial_id, written, facts["engine"], facts["evaluations"], by)
    add_trial(folder, added)
    forgotten_sweep.take_back(folder)
    return name, added


def sweeps_of(runs: Path, trial_id: str) -> list[str]:
    """Return the names of the sweeps that want a trial, searches that run among them."""
    return [name for name in sweep_names(runs) if _has(runs / "sweeps" / name, trial_id)]


def _sweep_of(runs: Path, trial_id: str, sweep: str | None) -> str:
    found = sweeps_of(runs, trial_id)
    if sweep is not None:
        if sweep not in found:
            raise UserError(f"Sweep {sweep} has no trial {trial_id}: name one that it has.")
        return sweep
    if not found:
        raise UserError(f"No sweep has trial {trial_id}, and a clone is added to a sweep: give run.py its settings instead.")
    if len(found) > 1:
        raise UserError(f"Trial {trial_id} is in {len(found)} sweeps ({', '.join(found)}): add --sweep with the one that is meant.")
    return found[0]


def _has(folder: Path, trial_id: str) -> bool:
    return (folder / trial_set.NAME).is_file() and any(one.trial_id == trial_id for one in trial_set.read(folder))


def _parsed(lines: Sequence[str]) -> "list[Override]":
    """Return the overrides in Hydra's grammar. Raise UserError for what sets no one value of a setting."""
    from persona_exp.search.suggestion import parse_lines

    if not lines:
        raise UserError("Say what the clone is to have otherwise, as in optim.lr=5e-5.")
    overrides: list[Override] = list(parse_lines(tuple(lines)))
    for line, one in zip(lines, overrides, strict=True):
        key = one.get_key_element()
        if one.is_sweep_override():
            raise UserError(f"{line} gives several values: add one clone for each.")
        if one.is_add() or one.is_force_add() or one.is_delete() or key == "runs" or ("." not in key and key != "seed"):
            raise UserError(f"{line} cannot be set on a sealed trial: give settings that it has, as in optim.lr=5e-5.")
    return overrides


def _with_values(path: Path, overrides: "Sequence[Override]") -> "Config":
    """Return the config of the seal `path` with these values. Raise UserError where one is refused."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from persona_exp.config.compose import compose_trial, error_sentence

    config = read_seal(path)[1]
    composed = OmegaConf.structured(config)
    for one in overrides:
        try:
            OmegaConf.update(composed, one.get_key_element(), one.value(), merge=True)
        except OmegaConfBaseException as error:
            raise UserError(error_sentence(error)) from error
    return compose_trial(composed)


def _inputs(path: Path, config: "Config", keys: Sequence[str]) -> SealedInputs | None:
    """Return the data and the model of the seal `path` where these settings decide on neither; else None: they are made ready anew."""
    if any(key.split(".")[0] not in READ_NO_DATA and key != "train.max_steps" for key in keys):
        return None
    facts: dict[str, Any] = read_seal_facts(path)
    return SealedInputs(config.model.location, config.model.revision, facts["model_digest"], facts["data_id"], facts["data_sha256"])
