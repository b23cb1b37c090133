"""Searches of model=tiny, written down as their command does it at submission: all composed, data built, the model fetched."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def make_ready(sweep: Path, lines: Sequence[str], asks: int, sampler: Mapping[str, Any], pruner: Mapping[str, Any] | None = None) -> None:
    """Write the search of `lines`, as on a command line, into the new folder `sweep`, runs/sweeps/NAME; it makes so many asks."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from persona_exp.config.compose import register_schema
    from persona_exp.search.study_request import study_request
    from persona_exp.search.study_settings import write_settings
    from persona_exp.search.sweeper_options import SweeperOptions

    sweep.mkdir(parents=True)
    os.environ["PERSONA_EXP_RUNS"] = str(sweep.parents[1])
    options = SweeperOptions(sampler, pruner or {}, "minimize", asks, None, 0.5, (), None, sweep.name, {}, {}, None)
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        request = study_request(
            ["model=tiny", *lines], options, command="python run.py", config_name="config", hydra_overrides=(), loader=loader
        )
    request.composed.write(sweep)
    write_settings(sweep, request.settings)
