"""conf/ composed for a command that is not run.py."""

from collections.abc import Sequence
from pathlib import Path

from persona_exp.config.schema import Config
from persona_exp.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


def compose_config(overrides: Sequence[str]) -> Config:
    """The checked config that `overrides` give, as `run.py` would have it. Raises UserError."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from persona_exp.config.compose import register_schema, resolve, sentence

    register_schema()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return resolve(hydra.compose("config", list(overrides)))
    except hydra.errors.HydraException as error:
        raise UserError(sentence(error)) from error
