"""Which id a setting is part of, found by changing it and asking the code that makes the ids."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from persona_exp.cli.config_from_overrides import compose_config
from persona_exp.config.schema import Config
from persona_exp.config.trial_identity import MODEL_KEYS_REPLACED_BY_DIGEST, identity
from persona_exp.dataset.data_id import data_id
from persona_exp.evaluation.evaluation_id import evaluation_id
from persona_exp.teacher.rules import RULES_IDENTITY
from persona_exp.trial.trial_dataset import language_model, recipe_of

# Settings are read only beside certain others: at one of these at least, each is.
POINTS = (
    ("method=lora",),
    ("method=qlora", "train.max_steps=100", "optim.warmup_steps=2"),
    ("train.early_stopping_patience=2", "train.eval_steps=5"),
    ("train.max_steps=100", "train.stop_at_step=50"),
    ("engine=sft", "train.router_aux_loss=true"),
    ("optim.loraplus_lr_ratio=2", "lora.init_from=0123456789ab"),
    ("data.split=chapter", "data.passages=fixed", "data.system_prompt=contextual"),
    ("teacher=openai", "teacher.model=NAME", "teacher.base_url=http://localhost", "teacher.api_key_variable=null"),
)
# Settings that take no value but some; each is another at one of POINTS.
OTHER_VALUES = {
    "method.name": "full",
    "teacher.name": "rules",
    "teacher.base_url": "http://localhost/v1",
    "data.system_prompt": "simple",
}
# What the dataset's id has as the SHA-256 of files.
BY_FILES = ("corpus.dir", "corpus.books", "corpus.speakers", "corpus.cast", "corpus.gutenberg")


@dataclass(frozen=True)
class Ids:
    """What makes the ids of a trial and of its dataset."""

    trial: Mapping[str, Any]
    data: str


def composed_points() -> list[Config]:
    """Return the configs of POINTS."""
    return [compose_config(overrides) for overrides in POINTS]


def id_of_setting(key: str, points: Sequence[Config], *, outside: bool = False) -> str:
    """Return which id the setting is part of: `trial`, `data`, `weights`, `evaluation` or `no`.

    `points` are those of POINTS. A setting that the schema has `outside` the identity may be part of it beside another one, which is then
    named.
    """
    group, _, name = key.rpartition(".")
    if group == "model" and name in MODEL_KEYS_REPLACED_BY_DIGEST:
        return "weights"
    if key in BY_FILES or key.startswith("corpus.gutenberg."):
        return "data"
    if group == "evaluation" and name in inspect.signature(evaluation_id).parameters:
        return "evaluation"
    data = False
    for overrides, config in zip(POINTS, points, strict=True):
        before, after = ids(config), ids(_changed(config, key))
        if before.trial != after.trial:
            return f"trial, with {overrides[-1]}" if outside else "trial"
        data |= before.data != after.data
    return "data" if data else "no"


def ids(config: Config) -> Ids:
    """Return what decides the ids of a config's trial, without the dataset's, and the id of its dataset."""
    teacher = language_model(config.teacher)
    dataset = data_id(recipe_of(config), {}, teacher=teacher.identity() if teacher else RULES_IDENTITY)
    return Ids(identity(config, model_digest="", template_digest=config.model.chat_template, data_id="", training_version=0), dataset)


def _changed(config: Config, key: str) -> Config:
    """Return the config with another value of the setting, past its checks."""
    *groups, name = key.split(".")
    changed = copy.copy(config)
    holder: Any = changed
    for group in groups:
        setattr(holder, group, copy.copy(getattr(holder, group)))
        holder = getattr(holder, group)
    value: Any = getattr(holder, name)
    if key == "others":
        changed.others = {**value, "another": replace(config.persona, name="another")}
        return changed
    if key in OTHER_VALUES:
        other: Any = OTHER_VALUES[key]
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value + 1
    elif isinstance(value, list):
        other = [*value, "another"]
    elif isinstance(value, dict):
        other = {**value, "another": "another"}
    else:
        other = "another" if value is None else f"{value} another"
    setattr(holder, name, other)
    return changed
