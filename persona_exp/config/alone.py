"""Which trials are trained alone, and why."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def base_is_its_own(method: str, attention: str) -> str | None:
    """Why such a trial cannot share a base model, whichever engine is asked for; None where it can."""
    if method == "full":
        return "method=full changes the base model"
    if attention == "eager":
        return "model.attention=eager is not computed for several trials at once"
    return None


def engines_reason(config: "Config") -> str | None:
    """Why a trial is trained alone, in half a sentence for the plan of a sweep; None where it may have company, or trains nothing."""
    if config.engine.name == "noop" or config.method.name == "none":
        return None
    own = base_is_its_own(config.method.name, config.model.attention)
    if own:
        return own
    if config.engine.name == "sft":
        return "engine=sft was asked for"
    return "bundle.size=1 was asked for" if config.bundle.size == 1 else None
