"""From what Hydra composed to a checked `Config`, and from an exception of Hydra's to one sentence."""

import re
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from persona_exp.config.schema import Config
from persona_exp.errors import UserError

LAUNCHERS = Path(__file__).parents[2] / "conf" / "hydra" / "launcher"
# Settings of Hydra's that are mappings whose keys are the user's own.
OWN_KEYS = ("hydra.launcher.additional_parameters", "hydra.job.env_set")
# Hydra's own launcher and sweeper, which know nothing of sealing.
FOREIGN = "basic"


def register_schema() -> None:
    """Let conf/config.yaml name the dataclasses as its `schema`."""
    ConfigStore.instance().store(name="schema", node=Config, provider="persona_exp")


def resolve(composed: DictConfig) -> Config:
    """The trial in `composed`, interpolations resolved, every range checked. Raises UserError."""
    composed = composed.copy()
    OmegaConf.set_struct(composed, False)
    composed.pop("hydra", None)
    _refuse_unknown(composed, OmegaConf.structured(Config), "")
    try:
        typed = OmegaConf.merge(OmegaConf.structured(Config), composed)
        OmegaConf.resolve(typed)
        config = OmegaConf.to_object(typed)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no value: give {error.full_key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise UserError(sentence(error)) from error
    assert isinstance(config, Config)
    if config.method.name == "full":
        if config.method.quantisation != "none":
            raise UserError("method=full trains the weights themselves, which 4 bits cannot hold: set method.quantisation=none.")
        # In bf16 an update smaller than 1/256 of its weight is lost; the base row of the comparison is held to the same precision.
        config.model.dtype = "float32"
    return config


def _refuse_unknown(node: DictConfig, schema: DictConfig, prefix: str) -> None:
    """Hydra's + adds any key; one that no code reads would make a trial that is not what it says."""
    for key in map(str, node):
        # A setting without a default is a key, though `in` denies it.
        if key not in schema.keys():  # noqa: SIM118
            raise UserError(_unknown(f"{prefix}{key}"))
        inner, known = node._get_node(key), schema._get_node(key)
        # An empty mapping in the schema is one whose keys are the user's own.
        if isinstance(inner, DictConfig) and isinstance(known, DictConfig) and len(known):
            _refuse_unknown(inner, known, f"{prefix}{key}.")


def sentence(error: BaseException) -> str:
    """What Hydra or OmegaConf has against an override, as one sentence that names the key and the fix."""
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
    """The launcher that a setting which the chosen one lacks belongs to; None where none has it."""
    if not key.startswith("hydra.launcher."):
        return None
    setting = key.split(".")[2]
    return next((path.stem for path in sorted(LAUNCHERS.glob("*.yaml")) if setting in OmegaConf.load(path)), None)


def _known_keys(group: str) -> list[str]:
    node = OmegaConf.select(OmegaConf.structured(Config), group) if group else OmegaConf.structured(Config)
    return [str(key) for key in node] if isinstance(node, DictConfig) else []
