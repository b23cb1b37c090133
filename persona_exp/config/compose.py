"""From what Hydra composed to a checked `Config`, and from an exception of Hydra's to one sentence."""

import re

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from persona_exp.config.schema import Config
from persona_exp.errors import UserError


def register_schema() -> None:
    """Let conf/config.yaml name the dataclasses as its `schema`."""
    ConfigStore.instance().store(name="schema", node=Config, provider="persona_exp")


def resolve(composed: DictConfig) -> Config:
    """The trial in `composed`, interpolations resolved, every range checked. Raises UserError."""
    composed = composed.copy()
    OmegaConf.set_struct(composed, False)
    composed.pop("hydra", None)
    try:
        typed = OmegaConf.merge(OmegaConf.structured(Config), composed)
        OmegaConf.resolve(typed)
        config = OmegaConf.to_object(typed)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no value: give {error.full_key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise UserError(sentence(error)) from error
    assert isinstance(config, Config)
    return config


def sentence(error: BaseException) -> str:
    """What Hydra or OmegaConf has against an override, as one sentence that names the key and the fix."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return _omegaconf_sentence(cause)
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip()
    option = re.search(r"Could not find '([^']+)/([^']+)'\s+Available options in '[^']+':\s+(.*?)\s+Config search path", text, re.DOTALL)
    if option:
        return f"{option[1]}={option[2]} does not exist: choose one of {', '.join(option[3].split())}."
    return " ".join(text.split())


def _omegaconf_sentence(error: OmegaConfBaseException) -> str:
    key = error.full_key or ""
    first = str(error.msg or error).strip().splitlines()[0]
    unknown = re.match(r"Key '(\S+)' (?:is )?not in ", first)
    if unknown:
        group, _, _ = key.rpartition(".")
        known = _known_keys(group)
        return f"There is no setting {key}: {group or 'the config'} has {', '.join(known)}."
    return f"{key}: {first.rstrip('.')}."


def _known_keys(group: str) -> list[str]:
    node = OmegaConf.select(OmegaConf.structured(Config), group) if group else OmegaConf.structured(Config)
    return [str(key) for key in node] if isinstance(node, DictConfig) else []
