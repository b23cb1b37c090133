"""Hydra's door to our sweeper and launcher: Hydra loads plugins from this namespace alone."""

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
        from persona_exp.config.compose import resolve
        from persona_exp.launch.sweep import Request
        from persona_exp.search.grid import grid

        hydra_overrides = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(hydra_overrides, list)
        assert isinstance(self.launcher, LocalLauncher)
        swept, points = grid(
            arguments,
            config_name=self.config.hydra.job.config_name,
            hydra_overrides=[str(override) for override in hydra_overrides],
            loader=self.context.config_loader,
        )
        requests = [Request(resolve(point.config), point.overrides) for point in points]
        self.launcher.launch_sweep(arguments, swept, requests)


class LocalLauncher(Launcher):
    """Trials one after the other on this machine."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def launch_sweep(self, arguments: Sequence[str], swept: Sequence[str], requests: Sequence[Any]) -> None:
        """Run `requests` (persona_exp.launch.sweep.Request) as one sweep. Raises SystemExit with its code unless all is well."""
        from persona_exp.launch.sweep import run_sweep

        code = run_sweep(arguments=arguments, swept=swept, requests=requests)
        if code:
            # Hydra drops what a sweeper returns.
            raise SystemExit(code)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by other sweepers, which know nothing of sealing or of base rows. Raises UserError."""
        raise UserError("This launcher runs the sweeps of hydra/sweeper=grid alone: leave hydra/sweeper as it is.")
