"""From what Hydra composed to a checked `Config`, and from an exception of Hydra's to one sentence."""

import re
from dataclasses import fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from persona_exp.config.close_name import did_you_mean
from persona_exp.config.full_finetuning_dtype import with_training_dtype
from persona_exp.config.schema import Config
from persona_exp.config.schema.composition import OF_SWEEP, SEARCH_DEFAULTS, Composition
from persona_exp.config.schema.sweep_label import SweepLabel
from persona_exp.config.setting_names import WORDS, group_names, setting_names, setting_type
from persona_exp.errors import UserError
from persona_exp.project_folders import CONF

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


def sweep_label(composed: DictConfig) -> SweepLabel:
    """Return what the command calls the sweep. Raise UserError where that is refused."""
    try:
        given = OmegaConf.to_container(composed.sweep, resolve=True) if "sweep" in composed else {}
        label = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SweepLabel), given))
    except OmegaConfBaseException as error:
        raise UserError(error_sentence(error)) from error
    assert isinstance(label, SweepLabel)
    return label


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
    if isinstance(error, YAMLError):
        return yaml_sentence(error)
    text = str(error).strip()
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InterpolationKeyError) and (referred := re.search(r"Interpolation key '([^']+)' not found", str(cause))):
            hint = did_you_mean(referred[1], setting_names())
            return f"${{{referred[1]}}} refers to no setting: write \\${{{referred[1]}}} for the signs themselves{hint}"
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return _omegaconf_sentence(cause)
        cause = cause.__cause__ or cause.__context__
    misfit = re.match(r"In '([^']+)': \w+ raised while composing config:\s*([^\n]*)", text)
    if misfit:
        return f"The config file {misfit[1]}.yaml does not fit its group ({misfit[2].rstrip('.')}): it holds lines of KEY: VALUE."
    several = re.match(r"Ambiguous value for argument '([^']+)'", text)
    if several:
        key, _, value = several[1].partition("=")
        point = (
            f", or {key}={value.replace(',', '.')} for one number"
            if re.fullmatch(r"-?\d+,\d+", value) and setting_type(key) is float
            else ""
        )
        return f"{several[1]} gives several values: add -m to sweep over them, or write [..] for a list{point}."
    option = re.search(r"Could not find '([^']+)'\s+Available options in '([^']+)':\s+(.*?)\s+Config search path", text, re.DOTALL)
    if option:
        group, name = option[2], option[1].removeprefix(f"{option[2]}/")
        choices = [one for one in option[3].split() if not (group.startswith("hydra/") and one == FOREIGN)]
        return f"{group}={name} does not exist: choose one of {', '.join(choices)}{did_you_mean(name, choices)}"
    there = re.match(r"Could not append to config\. An item is already at '[^']+'\.\s+Either remove \+ prefix: '(.+)'\s+Or add", text)
    if there:
        return f"+{there[1]} adds what is there already: write {there[1]}, without the +."
    group_override = re.match(r"Could not override '([^']+)'", text)
    if group_override:
        hint = did_you_mean(group_override[1].partition("@")[0], group_names())
        return f"{group_override[1]} is no group of the config: write +{group_override[1]}=OPTION to add it{hint}"
    missing = re.match(r"Cannot find primary config '([^']+)'", text)
    if missing:
        return f"There is no config {missing[1]}: leave out -cn, or name a file of the config folder."
    folder = re.match(r"(?:Additional|Primary) config directory '([^']+)' not found", text)
    if folder:
        return f"The config folder {folder[1]} does not exist: name one that does, with --config-dir."
    return " ".join(text.partition("See https://hydra.cc")[0].split())


def yaml_sentence(error: YAMLError) -> str:
    """Return where a file is no YAML, and why, as one sentence."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"{mark.name}, line {mark.line + 1}," if mark else "A config file"
    why = problem or getattr(error, "reason", None) or str(error).splitlines()[0]
    return f"{where} is no YAML ({why}): check its quotation marks, colons and brackets, and indent with spaces."


def _omegaconf_sentence(error: OmegaConfBaseException) -> str:
    key = error.full_key or ""
    first = str(error.msg or error).strip().splitlines()[0]
    if re.match(r"Key '(\S+)' (?:is )?not in ", first):
        return _unknown(key)
    if "does not support deletion" in first:
        return f"{key} is part of every trial: set it to another value instead of taking it out with ~."
    if isinstance(error, GrammarParseError):
        return f"{key} has a ${{ that refers to nothing: write \\${{ for the signs themselves."
    return type_sentence(key, first)


def type_sentence(key: str, said: str) -> str:
    """Return what OmegaConf said of the type of a setting's value, in words."""
    value = re.match(r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", said)
    inner = re.match(r"Invalid type assigned: .* value: (.*)", said)
    if value:
        kinds = {"Integer": int, "Float": float, "bool": bool, "Boolean": bool}
        if value[2] in kinds:
            listed = re.fullmatch(r"\[(.*)\]", value[1])
            fix = f": several values are {key}={listed[1].replace(' ', '')}, with -m" if listed else ""
            return f"{key}={value[1]} must be {WORDS[kinds[value[2]]]}{fix}."
    if inner:
        names = [name.removeprefix(f"{key}.") for name in setting_names() if name.startswith(f"{key}.")]
        return (
            f"{key} is no single value: set {key}.{names[0]}=VALUE; it has {', '.join(names)}." if names else f"{key}: {said.rstrip('.')}."
        )
    kind = list if "ListConfig" in said else dict if "DictConfig" in said else setting_type(key)
    if kind in WORDS and re.match(r"Invalid value assigned|Cannot convert|[Ff]ield '|Incompatible value|Union value", said):
        null = "=null" if "Optional" in said or "'None'" in said else ""
        return f"{key}{null} must be {WORDS[kind]}."
    return f"{key}: {said.rstrip('.')}."


def _unknown(key: str) -> str:
    group, _, _ = key.rpartition(".")
    if group in OWN_KEYS:
        return f"{key} is not there yet: write +{key}=VALUE to add it."
    if choice := _choice_of(key):
        return f"{key} is a setting of {choice}: add {choice}."
    if group.startswith("hydra"):
        hint = did_you_mean(key, _hydra_names(group))
        return f"There is no setting {key}: `persona-exp run --cfg hydra -p {group}` lists those that there are{hint}"
    if group and not _known_keys(group):
        # A mapping whose keys are the user's own.
        return f"{key} is not there yet: write +{key}=VALUE to add it."
    names = setting_names() if group else (*_known_keys(""), *group_names(), *setting_names())
    return f"There is no setting {key}: {group or 'the config'} has {', '.join(_known_keys(group))}{did_you_mean(key, names)}"


def _choice_of(key: str) -> str | None:
    """Return the launcher or sweeper, as it is chosen, that a setting belongs to which the chosen one lacks; None where none has it."""
    found = re.match(r"hydra\.(launcher|sweeper)\.(\w+)", key)
    if not found:
        return None
    files = sorted((CONF / "hydra" / found[1]).glob("*.yaml"))
    return next((f"hydra/{found[1]}={path.stem}" for path in files if found[2] in OmegaConf.load(path)), None)


def _hydra_names(group: str) -> list[str]:
    """Return the settings of a group of Hydra's, whichever of its options is chosen."""
    files = sorted((CONF / group.replace(".", "/")).glob("*.yaml"))
    return [f"{group}.{name}" for path in files for name in map(str, OmegaConf.load(path)) if not name.startswith("_")]


def _known_keys(group: str) -> list[str]:
    if group == "search":
        return list(SEARCH_DEFAULTS)
    schema = OmegaConf.structured(Composition if group == "sweep" else Config)
    node = OmegaConf.select(schema, group) if group else schema
    return [str(key) for key in node] if isinstance(node, DictConfig) else []
