"""Experiments on persona fine-tuning of language models, for programs and notebooks: `import persona_exp as px`.

Nine names are offered: compose, run, sweep, load, results, their types Config, TrialResult and LoadedTrial, and UserError, which whatever
is refused raises. All else is internal. Nothing heavy is imported before a name is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_exp.api import LoadedTrial, TrialResult, compose, load, results, run, sweep
    from persona_exp.config.schema import Config
    from persona_exp.errors import UserError

__all__ = ["Config", "LoadedTrial", "TrialResult", "UserError", "compose", "load", "results", "run", "sweep"]

_PLACES = {"Config": "persona_exp.config.schema", "UserError": "persona_exp.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES.get(name, "persona_exp.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
