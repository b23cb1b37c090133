"""The settings hydra.launcher.*, under submitit's names: their types and limits, and what sbatch gets of them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError

# What a site's cluster=NAME says for hydra.launcher where the latter says nothing.
FROM_CLUSTER = (
    "partition", "account", "qos", "constraint", "reservation", "gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min", "signal_delay_s",
)  # fmt: skip


@dataclass
class LocalOptions:
    """`n_jobs` trials at once on this machine (null: one a GPU, or one where there is none). `dry_run` says how many, and runs nothing."""

    n_jobs: int | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.n_jobs is not None and self.n_jobs < 1:
            raise UserError(f"hydra.launcher.n_jobs={self.n_jobs} must be 1 or more, or null for one a GPU.")


@dataclass
class SlurmOptions:
    """How a sweep is submitted to Slurm. What is null is taken from cluster=NAME, and where that says nothing, left to Slurm.

    `array_parallelism` elements of an array run at once. `wait` watches the sweep to its end. `canary` lets the first trial pass its first
    steps before the rest start; `keeper` adds a last job of one core that resubmits what was lost and writes the report: it waits out a
    Slurm that is busy and a queue without room for its successor, and gives up after `max_rounds` rounds that brought nothing. A task
    is a queue of `trials_per_task` trials (null: as many as suit the bundles; of trials alone 1, of engine=noop 100). `dry_run` prints the
    sbatch text and submits nothing.
    """

    array_parallelism: int = 256
    wait: bool = True
    canary: bool = True
    keeper: bool = True
    trials_per_task: int | None = None
    max_rounds: int = 3
    dry_run: bool = False
    # From here on as submitit has them.
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    gpus_per_node: str | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    timeout_min: int | None = None
    signal_delay_s: int | None = None
    nodelist: str | None = None
    exclude: str | None = None
    gres: str | None = None
    gpus_per_task: str | None = None
    cpus_per_gpu: int | None = None
    mem_per_cpu: str | None = None
    mem_per_gpu: str | None = None
    comment: str | None = None
    mail_type: str | None = None
    mail_user: str | None = None
    exclusive: bool | None = None
    use_srun: bool | None = None
    srun_args: list[str] | None = None
    stderr_to_stdout: bool = True
    setup: list[str] | None = None
    teardown: list[str] | None = None
    additional_parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("array_parallelism", "trials_per_task", "max_rounds", "cpus_per_task", "mem_gb", "timeout_min"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"hydra.launcher.{name}={value} must be above 0.")


Options = TypeVar("Options", LocalOptions, SlurmOptions)

# Options of ours that sbatch does not get.
NOT_SBATCH = ("array_parallelism", "wait", "canary", "keeper", "trials_per_task", "max_rounds", "dry_run")


def sbatch_options(options: SlurmOptions, cluster: Cluster) -> dict[str, Any]:
    """Return sbatch's options under submitit's names: hydra.launcher's, then the site's; what neither gives is left out.

    Lines of cluster.setup come before those of hydra.launcher.setup.
    """
    given: dict[str, Any] = {name: getattr(cluster, name) for name in FROM_CLUSTER}
    own = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in NOT_SBATCH}
    given.update({name: value for name, value in own.items() if value is not None})
    given["setup"] = [*cluster.setup, *(options.setup or [])]
    return {name: value for name, value in given.items() if value is not None and value != [] and value != {}}


def warning_if_run_here(cluster: Cluster) -> str | None:
    """Return a warning where trials are about to run on this machine, in no job, though the profile is one of a Slurm site."""
    asks = any(getattr(cluster, name) is not None for name in FROM_CLUSTER if name not in ("timeout_min", "signal_delay_s"))
    if not asks or "SLURM_JOB_ID" in os.environ:
        return None
    return (
        f"warning: cluster={cluster.name} is a Slurm site's, but the trials run here, on this machine: "
        "-m with hydra/launcher=slurm submits them."
    )


def environment_scratch(cluster: Cluster) -> str | None:
    """Return the node-local folder to which workers copy the Python environment, None where the site does not ask for that."""
    return cluster.scratch if "environment" in cluster.stage else None


def parse_options(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Return the options in what Hydra composed. Raise UserError for one that is not known, of the wrong type or out of range."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    known = [one.name for one in fields(kind)]
    for name in given:
        if name not in known and kind is LocalOptions and name in [one.name for one in fields(SlurmOptions)]:
            raise UserError(f"hydra.launcher.{name} is a setting of hydra/launcher=slurm: add hydra/launcher=slurm.")
        if name not in known:
            raise UserError(f"There is no setting hydra.launcher.{name}: hydra.launcher has {', '.join(known)}.")
    try:
        options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), dict(given)))
    except OmegaConfBaseException as error:
        reason = str(error.msg or error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"hydra.launcher.{error.full_key}: {reason}.") from error
    assert isinstance(options, kind)
    return options
