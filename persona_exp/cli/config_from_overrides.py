"""conf/ composed for a command that is not run.py."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.project_folders import CONF

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def compose_config(overrides: Sequence[str]) -> "Config":
    """Return the checked config that `overrides` give, as `run.py` would have it. Raise UserError."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from yaml import YAMLError

    from persona_exp.config.compose import compose_trial, error_sentence, register_schema
    from persona_exp.config.secret_values import refuse_secrets
    from persona_exp.config.typed_overrides import as_typed

    refuse_secrets(overrides, "The command")
    register_schema()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return compose_trial(hydra.compose("config", as_typed(overrides)))
    except (hydra.errors.HydraException, YAMLError) as error:
        raise UserError(error_sentence(error)) from error
