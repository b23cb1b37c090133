"""Hydra's door to our sweeper and launchers: Hydra loads plugins from this namespace alone."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf

from persona_exp.errors import UserError
from persona_exp.typed_command import typed_command


class GridSweeper(Sweeper):
    """Every combination of the swept values, handed to the launcher as one sweep.

    `params` is hydra.sweeper.params, setting to sweep text; `pairs` is hydra.sweeper.pairs, rows of settings that go together.
    """

    config: DictConfig

    def __init__(self, params: DictConfig | None = None, pairs: ListConfig | None = None) -> None:
        self.params: Any = OmegaConf.to_container(params or DictConfig({}))
        self.pairs: Any = OmegaConf.to_container(pairs or ListConfig([]))

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        from persona_exp.config.compose import sweep_label
        from persona_exp.launch.sweeps.seal_sweep_rows import TrialRequest
        from persona_exp.search.grid import grid
        from persona_exp.search.resolve_points import resolve_points
        from persona_exp.search.sweep_parameters import refuse_twice, roles_swept, with_parameters

        hydra_overrides = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(hydra_overrides, list)
        if not isinstance(self.launcher, SweepLauncher):
            raise UserError("This launcher cannot run a sweep of ours: choose hydra/launcher=local or hydra/launcher=slurm.")
        chosen = self.config.hydra.runtime.choices.get("sweeps")
        if chosen is None and any(argument.startswith("+sweeps=") for argument in arguments):
            raise UserError("+sweeps takes one sweep at a time: give each a command of its own.")
        refuse_twice(self.params, self.pairs)
        asked = with_parameters(self.params, arguments)
        swept, points = grid(
            asked,
            config_name=self.config.hydra.job.config_name,
            hydra_overrides=[str(override) for override in hydra_overrides],
            loader=self.context.config_loader,
            pairs=self.pairs,
        )
        requests = [TrialRequest(config, point.overrides) for config, point in zip(resolve_points(points), points, strict=True)]
        # A sweep of sweeps/ is called by its name, and by what else the person sweeps.
        named = arguments if chosen else [*(name for pair in self.pairs for name in pair), *asked]
        roles = {role: roles_swept(role, self.config.get(role) or [], swept, asked) for role in ("arms", "tuned")}
        self.launcher.launch_sweep(named, swept, requests, roles, sweep_label(self.config))


class OptunaSweeper(Sweeper):
    """A search of a space by Optuna's samplers and pruners, by the settings of hydra-optuna-sweeper; options are hydra.sweeper's."""

    config: DictConfig

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        from persona_exp.launch.launch_search import launch_search
        from persona_exp.launch.temporary_runs import temporary_runs
        from persona_exp.search.study_request import study_request
        from persona_exp.search.sweep_parameters import with_parameters
        from persona_exp.search.sweeper_options import parse_sweeper_options

        if not isinstance(self.launcher, SweepLauncher):
            raise UserError("This launcher cannot run a search of ours: choose hydra/launcher=local or hydra/launcher=slurm.")
        hydra_overrides = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(hydra_overrides, list)
        options = parse_sweeper_options(self.options)
        if options.n_jobs is not None:
            self.launcher.set_jobs(options.n_jobs)
        command, given, runs = typed_command(), self.launcher.parse_options(), Path(self.config.runs)
        with temporary_runs(runs) if given.dry_run else nullcontext() as dry_runs:
            request = study_request(
                with_parameters(options.params, arguments),
                options,
                command=command,
                config_name=self.config.hydra.job.config_name,
                hydra_overrides=[str(override) for override in hydra_overrides],
                loader=self.context.config_loader,
                dry_runs=dry_runs,
            )
            if chosen := self.config.hydra.runtime.choices.get("sweeps"):
                request = replace(request, slug=(f"+sweeps={chosen}",))
            self.launcher.run(lambda: launch_search(request, command=command, options=given, runs=runs))


class SweepLauncher(Launcher):
    """Takes a whole sweep at once. `options` are its own settings, hydra.launcher.*."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def parse_options(self) -> Any:
        """The options as a dataclass of persona_exp.launch.launcher_options. Raises UserError for one that is out of range or not known."""
        raise NotImplementedError

    def set_jobs(self, jobs: int) -> None:
        """Let so many trials run at once, unless its own settings say otherwise."""
        raise NotImplementedError

    def run(self, launch: Callable[[], int]) -> None:
        """Do what `launch` does, and tell its end if the command asks for that. Raises SystemExit with its exit code unless all is well."""
        from persona_exp.launch.notification import as_given, notified

        # Hydra drops what a sweeper returns.
        if code := notified(as_given(self.config), launch):
            raise SystemExit(code)

    def launch_sweep(
        self, arguments: Sequence[str], swept: Sequence[str], requests: Sequence[Any], roles: Mapping[str, Sequence[str]], label: Any
    ) -> None:
        """Run `requests` (TrialRequest of persona_exp.launch.sweeps) as one sweep, called as `label` (SweepLabel) says.

        Raises SystemExit with its code unless all is well.
        """
        from persona_exp.launch.launch_sweep import launch_sweep
        from persona_exp.launch.launcher_options import LocalOptions

        # As typed: `arguments` lack what was said to Hydra itself, the launcher and its settings.
        command = typed_command()
        options = self.parse_options()
        if requests and not swept and isinstance(options, LocalOptions):
            print("Nothing is swept, so this is one trial: several values, as in lora.r=8,16, make a sweep.", file=sys.stderr, flush=True)
        self.run(
            lambda: launch_sweep(
                command=command, arguments=arguments, swept=swept, requests=requests, options=options, roles=roles, label=label
            )
        )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by other sweepers, which know nothing of sealing or of base rows. Raises UserError."""
        raise UserError("This launcher runs the sweeps of hydra/sweeper=grid alone: leave hydra/sweeper as it is.")


class LocalLauncher(SweepLauncher):
    """Trials on this machine, a few at a time."""

    def set_jobs(self, jobs: int) -> None:
        self.options["n_jobs"] = self.options.get("n_jobs") or jobs

    def parse_options(self) -> Any:
        from persona_exp.launch.launcher_options import LocalOptions, parse_options

        return parse_options(LocalOptions, self.options)


class SlurmLauncher(SweepLauncher):
    """Trials as job arrays of a Slurm cluster."""

    def set_jobs(self, jobs: int) -> None:
        self.options["array_parallelism"] = jobs

    def run(self, launch: Callable[[], int]) -> None:
        from persona_exp.launch.detached_process import refuse_detached
        from persona_exp.launch.notification import as_given, refuse_on_slurm

        refuse_detached()
        refuse_on_slurm(as_given(self.config))
        super().run(launch)

    def parse_options(self) -> Any:
        from persona_exp.launch.launcher_options import SlurmOptions, parse_options

        return parse_options(SlurmOptions, self.options)
