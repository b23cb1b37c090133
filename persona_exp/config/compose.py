"""From what Hydra composed to a checked `Config`, and from an exception of Hydra's to one sentence."""

import re
from dataclasses import fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from persona_exp.config.full_finetuning_dtype import with_training_dtype
from persona_exp.config.schema import Config
from persona_exp.config.schema.composition import OF_SWEEP, SEARCH_DEFAULTS, Composition
from persona_exp.errors import UserError
from persona_exp.project_folders import CONF

LAUNCHERS = CONF / "hydra" / "launcher"
# Settings of Hydra's that are mappings whose keys are the user's own.
OWN_KEYS = ("hydra.launcher.additional_parameters", "hydra.job.env_set")
# Hydra's own launcher and sweeper, which know nothing of sealing.
FOREIGN = "basic"


def register_schema() -> None:
    """Let conf/config.yaml name the dataclasses as its `schema`."""
    ConfigStore.instance().store(name="schema", node=Composition, provider="persona_exp")


def compose_trial(composed: DictConfig) -> Config:
    """Return the trial in `composed`, interpolations resolved. Raise UserError where a setting is refused."""
    composed = composed.copy()
    OmegaConf.set_struct(composed, False)
    composed.pop("hydra", None)
    _refuse_idle_search(composed.get("search"))
    for key in OF_SWEEP:
        composed.pop(key, None)
    _refuse_unknown(composed, OmegaConf.structured(Config), "")
    try:
        typed = OmegaConf.merge(OmegaConf.structured(Config), composed)
        OmegaConf.resolve(typed)
        config = OmegaConf.to_object(typed)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no value: give {error.full_key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise UserError(error_sentence(error)) from error
    assert isinstance(config, Config)
    # Composed as a Composition, which knows of the sweep too.
    return with_training_dtype(Config(**{one.name: getattr(config, one.name) for one in fields(Config)}))


def _refuse_idle_search(search: DictConfig | None) -> None:
    """Raise UserError for a setting of conf/search, which a search takes out before its trials are composed."""
    given = OmegaConf.to_container(search) if search else {}
    assert isinstance(given, dict)
    for name, value in ((str(key), value) for key, value in given.items()):
        if value != SEARCH_DEFAULTS.get(name):
            raise UserError(f"search.{name}={value} does nothing here: add -m hydra/sweeper=optuna, or leave it.")


def _refuse_unknown(node: DictConfig, schema: DictConfig, prefix: str) -> None:
    """Raise UserError for a key that no code reads, which Hydra's + adds."""
    for key in map(str, node):
        # A setting without a default is a key, though `in` denies it.
        if key not in schema.keys():  # noqa: SIM118
            raise UserError(_unknown(f"{prefix}{key}"))
        inner, known = _plain(node, key), _plain(schema, key)
        # An empty mapping in the schema is one whose keys are the user's own.
        if isinstance(inner, DictConfig) and isinstance(known, DictConfig) and len(known):
            _refuse_unknown(inner, known, f"{prefix}{key}.")


def _plain(node: DictConfig, key: str) -> Any:
    """Return what stands under `key`; None where that is an interpolation or has no value."""
    return None if OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key) else node[key]


def error_sentence(error: BaseException) -> str:
    """Return what Hydra or OmegaConf has against an override, as one sentence that names the key and the fix."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return _omegaconf_sentence(cause)
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip()
    several = re.match(r"Ambiguous value for argument '([^']+)'", text)
    if several:
        return f"{several[1]} gives several values: add -m to sweep over them, or write [..] for a list."
    option = re.search(r"Could not find '([^']+)/([^']+)'\s+Available options in '[^']+':\s+(.*?)\s+Config search path", text, re.DOTALL)
    if option:
        choices = [one for one in option[3].split() if not (option[1].startswith("hydra/") and one == FOREIGN)]
        return f"{option[1]}={option[2]} does not exist: choose one of {', '.join(choices)}."
    return " ".join(text.split())


def _omegaconf_sentence(error: OmegaConfBaseException) -> str:
    key = error.full_key or ""
    first = str(error.msg or error).strip().splitlines()[0]
    unknown = re.match(r"Key '(\S+)' (?:is )?not in ", first)
    if unknown:
        return _unknown(key)
    return f"{key}: {first.rstrip('.')}."


def _unknown(key: str) -> str:
    group, _, _ = key.rpartition(".")
    if group in OWN_KEYS:
        return f"{key} is not there yet: write +{key}=VALUE to add it."
    launcher = _launcher_of(key)
    if launcher:
        return f"{key} is a setting of hydra/launcher={launcher}: add hydra/launcher={launcher}."
    if group.startswith("hydra"):
        return f"There is no setting {key}: `python run.py --cfg hydra -p {group}` lists those that there are."
    if group and not _known_keys(group):
        # A mapping whose keys are the user's own.
        return f"{key} is not there yet: write +{key}=VALUE to add it."
    return f"There is no setting {key}: {group or 'the config'} has {', '.join(_known_keys(group))}."


def _launcher_of(key: str) -> str | None:
    """Return the launcher that a setting which the chosen one lacks belongs to; None where none has it."""
    if not key.startswith("hydra.launcher."):
        return None
    setting = key.split(".")[2]
    return next((path.stem for path in sorted(LAUNCHERS.glob("*.yaml")) if setting in OmegaConf.load(path)), None)


def _known_keys(group: str) -> list[str]:
    if group == "search":
        return list(SEARCH_DEFAULTS)
    node = OmegaConf.select(OmegaConf.structured(Config), group) if group else OmegaConf.structured(Config)
    return [str(key) for key in node] if isinstance(node, DictConfig) else []
