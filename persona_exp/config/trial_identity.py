"""What a trial is: the part of its config that can change its result, and the id made from it."""

from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

from persona_exp.atomic_files import digest
from persona_exp.config.schema import Config

# The config groups each method reads. The base model as it is reads none, so that a sweep has one base row.
GROUPS_READ = {
    "none": (),
    "full": ("optim", "train"),
    "lora": ("lora", "optim", "train"),
    "qlora": ("lora", "optim", "train"),
}

# Where weights come from is no part of what they are: their digest is.
MODEL_KEYS_REPLACED_BY_DIGEST = ("name", "source", "location", "revision", "sha256")
# Defaults that lora and optim take up: they count there.
MODEL_KEYS_READ_ELSEWHERE = ("target_modules", "lr")

# Types of settings that are no group, recognised at once: most are of these.
PLAIN = frozenset({str, int, float, bool, list, dict, type(None)})

# The settings of train that change a result only together with patience.
VALIDATION_SETTINGS = ("eval_steps", "eval_items", "early_stopping_patience")


def identity_fields(group: Any) -> dict[str, Any]:
    """Return a config group as a dictionary, without the fields that cannot change a result."""
    values = ((name, getattr(group, name)) for name in _names(group.__class__))
    return {name: value if type(value) in PLAIN or not is_dataclass(value) else identity_fields(value) for name, value in values}


@cache
def _names(group: type) -> list[str]:
    """Return the names of a group's fields that can change a result."""
    return [spec.name for spec in fields(group) if spec.metadata.get("identity", True)]


def identity(config: Config, *, model_digest: str, template_digest: str | None, data_id: str, training_version: int) -> dict[str, Any]:
    """Return all that decides a trial's mathematics.

    `model_digest` names the base weights and tokenizer, `template_digest` a chat template of ours, `data_id` the built examples.
    """
    model = identity_fields(config.model)
    for key in (*MODEL_KEYS_REPLACED_BY_DIGEST, *MODEL_KEYS_READ_ELSEWHERE):
        del model[key]
    what: dict[str, Any] = {
        "model": {"digest": model_digest, **model, "chat_template": template_digest},
        "data_id": data_id,
        "method": identity_fields(config.method),
    }
    if config.method.quantisation == "none":
        del what["method"]["double_quantisation"]
    if config.method.name == "none":
        return what
    what["mix"] = {
        "weights": identity_fields(config.data.mix),
        "min_confidence": config.corpus.min_confidence,
        "size": config.data.size,
        "seed": config.data.seed,
    }
    what["engine"] = identity_fields(config.engine)
    what["seed"] = config.seed
    what["training_version"] = training_version
    for name in GROUPS_READ[config.method.name]:
        what[name] = identity_fields(getattr(config, name))
    if "lora" in what:
        what["lora"]["target_modules"] = sorted(what["lora"]["target_modules"])
        if what["lora"]["init_from"] is None:
            del what["lora"]["init_from"]
    # At 1 it is LoRA as it was, and where there is no B it is not read.
    if "lora" not in what or config.optim.loraplus_lr_ratio == 1:
        del what["optim"]["loraplus_lr_ratio"]
    _only_what_is_read(what, config)
    # Without early stopping validation changes nothing.
    if what["train"]["early_stopping_patience"] is None:
        for key in VALIDATION_SETTINGS:
            del what["train"][key]
    if what["train"]["stop_at_step"] is None:
        del what["train"]["stop_at_step"]
    if what["train"]["max_steps"] is not None:
        del what["train"]["epochs"]
    return what


def base_config(config: Config) -> Config:
    """Return the config of the unchanged base model that the trial of `config` is compared with: its own model, precision and data.

    persona_exp/trial/comparability.py (`base_trial_id`) makes the id of that trial from an identity on disk.
    """
    return replace(config, method=replace(config.method, name="none"))


def _only_what_is_read(what: dict[str, Any], config: Config) -> None:
    """Take out of `what` the settings of warm-up and of router losses that this trial does not read; those that are off leave no trace."""
    optim, train = what["optim"], what["train"]
    constant = config.optim.schedule == "constant"
    if constant or config.optim.warmup_steps is None:
        del optim["warmup_steps"]
    if constant or config.optim.warmup_steps is not None:
        del optim["warmup_ratio"]
    if config.train.router_aux_loss:
        # Experts are balanced within a micro-batch.
        train["micro_batch_size"] = config.train.micro_batch_size or config.model.micro_batch_size
    else:
        del train["router_aux_loss"]


def trial_id(what: dict[str, Any]) -> str:
    """Return twelve hex digits of the identity's SHA-256."""
    return digest(what)[:12]
