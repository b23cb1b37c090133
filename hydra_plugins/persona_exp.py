"""Hydra's door to our sweeper and launchers: Hydra loads plugins from this namespace alone."""

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from persona_exp.errors import UserError


class GridSweeper(Sweeper):
    """Every combination of the swept values, handed to the launcher as one sweep."""

    config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        from persona_exp.launch.sweeps.rows import Request
        from persona_exp.search.grid import grid
        from persona_exp.search.resolve import resolve

        hydra_overrides = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(hydra_overrides, list)
        if not isinstance(self.launcher, SweepLauncher):
            raise UserError("This launcher cannot run a sweep of ours: choose hydra/launcher=local or hydra/launcher=slurm.")
        swept, points = grid(
            arguments,
            config_name=self.config.hydra.job.config_name,
            hydra_overrides=[str(override) for override in hydra_overrides],
            loader=self.context.config_loader,
        )
        requests = [Request(config, point.overrides) for config, point in zip(resolve(points), points, strict=True)]
        self.launcher.launch_sweep(arguments, swept, requests)


class SweepLauncher(Launcher):
    """Takes a whole sweep at once. `options` are its own settings, hydra.launcher.*."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def checked(self) -> Any:
        """The options as a dataclass of persona_exp.launch.options. Raises UserError for one that is out of range or not known."""
        raise NotImplementedError

    def launch_sweep(self, arguments: Sequence[str], swept: Sequence[str], requests: Sequence[Any]) -> None:
        """Run `requests` (persona_exp.launch.sweeps.rows.Request) as one sweep. Raises SystemExit with its code unless all is well."""
        from persona_exp.launch.sweep import run_sweep

        # As typed: `arguments` lack what was said to Hydra itself, the launcher and its settings.
        command = shlex.join(["python", "run.py", *sys.argv[1:]])
        code = run_sweep(command=command, arguments=arguments, swept=swept, requests=requests, options=self.checked())
        if code:
            # Hydra drops what a sweeper returns.
            raise SystemExit(code)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by other sweepers, which know nothing of sealing or of base rows. Raises UserError."""
        raise UserError("This launcher runs the sweeps of hydra/sweeper=grid alone: leave hydra/sweeper as it is.")


class LocalLauncher(SweepLauncher):
    """Trials on this machine, a few at a time."""

    def checked(self) -> Any:
        from persona_exp.launch.options import LocalOptions, checked

        return checked(LocalOptions, self.options)


class SlurmLauncher(SweepLauncher):
    """Trials as job arrays of a Slurm cluster."""

    def checked(self) -> Any:
        from persona_exp.launch.options import SlurmOptions, checked

        return checked(SlurmOptions, self.options)
