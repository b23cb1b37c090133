"""The settings hydra.launcher.*, under submitit's names: their types and limits, and what sbatch gets of them."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from persona_exp.config.close_name import did_you_mean
from persona_exp.config.range_checks import at_least, positive
from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError
from persona_exp.launch.slurm.sbatch_options_kept import check_additional, check_srun_arguments

# Of these sbatch takes one: what hydra.launcher gives of a row takes the place of what the site says.
EXCLUSIVE = (
    ("mem_gb", "mem_per_cpu", "mem_per_gpu"),
    ("gpus_per_node", "gpus_per_task", "gres"),
    ("cpus_per_task", "cpus_per_gpu"),
)


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

    `array_parallelism` tasks run at once, over all arrays. `wait` watches the sweep to its end. `canary` lets the first trial pass its
    first steps before the rest start; `keeper` adds a last job of one core that resubmits what was lost and writes the report: it waits
    out a Slurm that is busy and a queue without room for its successor, and gives up after `max_rounds` rounds that brought nothing. A
    task is a queue of `trials_per_task` trials (null: as many as suit the bundles; of trials alone 1, of engine=noop 100). `dry_run`
    prints the sbatch text and submits nothing. Jobs are found by their name, in front of which `name` is put. Without `requeue` Slurm puts
    no worker back into the queue, and what it leaves is submitted anew. `clusters` names the one cluster of several that gets the sweep.
    """

    name: str | None = None
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
    clusters: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    gpus_per_node: str | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    timeout_min: int | None = None
    signal_delay_s: int | None = None
    requeue: bool = True
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
        for name in ("array_parallelism", "trials_per_task", "max_rounds", "cpus_per_task", "cpus_per_gpu", "mem_gb", "timeout_min"):
            if getattr(self, name) is not None:
                positive(f"hydra.launcher.{name}", getattr(self, name))
        if self.signal_delay_s is not None:
            at_least("hydra.launcher.signal_delay_s", self.signal_delay_s, 0)
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9._=+-]{1,60}", self.name):
            raise UserError(f"hydra.launcher.name={self.name} must be 1 to 60 of the characters A-Z a-z 0-9 . _ = + -.")
        if self.clusters is not None and (self.clusters == "all" or not re.fullmatch(r"[A-Za-z0-9._-]+", self.clusters)):
            raise UserError(
                f"A sweep runs on one cluster, for its jobs wait for one another, and {self.clusters!r} is not the name of one: "
                "give hydra.launcher.clusters=NAME (or SLURM_CLUSTERS=NAME)."
            )
        for row in EXCLUSIVE:
            given = [name for name in row if getattr(self, name) is not None and len(rivals(name, getattr(self, name))) > 1]
            if len(given) > 1:
                raise UserError(f"hydra.launcher.{given[0]} and hydra.launcher.{given[1]} exclude each other: give one of them.")
        # sbatch's own knows more words than yes and no.
        check_additional(self.additional_parameters, {one.name for one in fields(self)} - {"exclusive"})
        check_srun_arguments(self.srun_args or ())


def rivals(name: str, value: object) -> tuple[str, ...]:
    """Return the options of which sbatch takes one, with this one; it alone where it excludes none, as a `gres` that asks for no GPU."""
    if name == "gres" and not re.search(r"(^|,)(gres/)?gpu\b", str(value)):
        return (name,)
    return next((row for row in EXCLUSIVE if name in row), (name,))


Options = TypeVar("Options", LocalOptions, SlurmOptions)

# Options of ours that sbatch does not get.
NOT_SBATCH = ("name", "array_parallelism", "wait", "canary", "keeper", "trials_per_task", "max_rounds", "dry_run")

# What cluster=NAME says for hydra.launcher where the latter says nothing. Lines of setup add up, and the two names name different things.
FROM_CLUSTER = tuple(
    one.name for one in fields(Cluster) if one.name not in ("name", "setup") and one.name in {other.name for other in fields(SlurmOptions)}
)


def sbatch_options(options: SlurmOptions, cluster: Cluster) -> dict[str, Any]:
    """Return sbatch's options under submitit's names: hydra.launcher's, then the site's; what neither gives is left out.

    Lines of cluster.setup come before those of hydra.launcher.setup.
    """
    own = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in NOT_SBATCH}
    replaced = {rival for name, value in own.items() if value is not None for rival in rivals(name, value)}
    given: dict[str, Any] = {name: getattr(cluster, name) for name in FROM_CLUSTER if name not in replaced}
    given.update({name: value for name, value in own.items() if value is not None})
    given["setup"] = [*cluster.setup, *(options.setup or [])]
    return {name: value for name, value in given.items() if value is not None and value != [] and value != {}}


def refuse_contradictions(options: SlurmOptions, cluster: Cluster, words: Sequence[str]) -> None:
    """Raise UserError where the command, whose `words` these are, asks for one thing in cluster.* and for another in hydra.launcher.*."""
    for name, value in ((one.name, getattr(options, one.name)) for one in fields(options)):
        for rival in rivals(name, value) if value is not None else ():
            other = getattr(cluster, rival) if rival in FROM_CLUSTER and f"cluster.{rival}" in overridden(words) else None
            if other is not None and (rival, other) != (name, value):
                raise UserError(f"hydra.launcher.{name}={value} and cluster.{rival}={other} contradict each other: give one of them.")


def overridden(words: Sequence[str]) -> set[str]:
    """Return the settings that the words of a command give."""
    return {word.partition("=")[0].lstrip("+") for word in words}


def launch_options(options: SlurmOptions, cluster: Cluster) -> dict[str, Any]:
    """Return those of our own options that a later round needs to submit in the same way, the keeper's among them."""
    return {
        "name": options.name,
        "array_parallelism": options.array_parallelism,
        "keeper": options.keeper,
        "keeper_partition": cluster.keeper_partition,
        "keeper_qos": cluster.keeper_qos,
        "keeper_mem_gb": cluster.keeper_mem_gb,
        "keeper_mem_per_cpu": cluster.keeper_mem_per_cpu,
        "keeper_timeout_min": cluster.keeper_timeout_min,
        "max_rounds": options.max_rounds,
        "lease_seconds": cluster.lease_seconds,
        "environment_scratch": environment_scratch(cluster),
        "slurm_conf": os.environ.get("SLURM_CONF"),
    }


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

    from persona_exp.config.compose import type_sentence

    known = [one.name for one in fields(kind)]
    for name in given:
        if name not in known and kind is LocalOptions and name in [one.name for one in fields(SlurmOptions)]:
            raise UserError(f"hydra.launcher.{name} is a setting of hydra/launcher=slurm: add hydra/launcher=slurm.")
        if name not in known:
            raise UserError(f"There is no setting hydra.launcher.{name}: hydra.launcher has {', '.join(known)}{did_you_mean(name, known)}")
    try:
        options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), dict(given)))
    except OmegaConfBaseException as error:
        raise UserError(type_sentence(f"hydra.launcher.{error.full_key}", str(error.msg or error).strip().splitlines()[0])) from error
    assert isinstance(options, kind)
    return options
