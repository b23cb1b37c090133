"""Config group `cluster`: what a machine or a Slurm site offers."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.errors import UserError


@dataclass
class Cluster:
    """What a machine or a Slurm site offers. No part of it can change a trial's mathematics, so none is in its identity."""

    name: str = MISSING
    """The name of the profile."""
    threads: int | None = None
    """The number of CPU threads that a trial computes with (null: all cores)."""
    partition: str | None = None
    """The partition that jobs go to."""
    account: str | None = None
    """The account that jobs are charged to."""
    qos: str | None = None
    """The quality of service that jobs ask for."""
    constraint: str | None = None
    """The features that a node must have."""
    reservation: str | None = None
    """The reservation that jobs use."""
    gpus_per_node: str | None = None
    """The GPUs of a job, with a type where the site wants one, as in a100:1."""
    cpus_per_task: int | None = None
    """The CPU cores of a job."""
    mem_gb: float | None = None
    """The memory of a job in GB, as Slurm counts it."""
    timeout_min: int = 240
    """The time limit of a job in minutes."""
    signal_delay_s: int = 120
    """How many seconds before its time limit a job is asked to save and leave."""
    setup: list[str] = field(default_factory=list)
    """Shell lines that run before a job's Python, such as `module load`."""
    keeper_partition: str | None = None
    """The partition of the keeper, a sweep's last small job (null: `cluster.partition`)."""
    keeper_qos: str | None = None
    """The quality of service of the keeper (null: `cluster.qos`)."""
    keeper_mem_gb: float | None = None
    """The memory of the keeper in GB (null: 4)."""
    keeper_mem_per_cpu: str | None = None
    """The memory of the keeper for each core, where the site wants it said so."""
    keeper_timeout_min: int | None = None
    """The time limit of the keeper in minutes (null: an hour, or `cluster.timeout_min`)."""
    scratch: str | None = None
    """A folder on the node's own disk, such as '$TMPDIR'."""
    stage: list[str] = field(default_factory=list)
    """What is copied to `cluster.scratch` once a node: model, environment."""
    gpu_memory_gb: float | None = None
    """The memory of a GPU in GB, where Slurm cannot tell it."""
    heartbeat_seconds: float = 10.0
    """A running attempt shows that it lives each so many seconds."""
    lease_seconds: float = 60.0
    """An attempt that shows no life for so many seconds is believed dead."""
    hours_per_trial: float | None = None
    """Your own estimate of a trial's hours, for when no earlier run gives one."""
    budget_gpu_hours: float | None = None
    """A sweep that is expected to take more GPU-hours than this is refused."""

    def __post_init__(self) -> None:
        for name in (
            "threads",
            "cpus_per_task",
            "mem_gb",
            "timeout_min",
            "keeper_mem_gb",
            "keeper_timeout_min",
            "gpu_memory_gb",
            "hours_per_trial",
            "budget_gpu_hours",
        ):
            if getattr(self, name) is not None:
                positive(f"cluster.{name}", getattr(self, name))
        at_least("cluster.signal_delay_s", self.signal_delay_s, 0)
        positive("cluster.heartbeat_seconds", self.heartbeat_seconds)
        at_least("cluster.lease_seconds", self.lease_seconds, 3 * self.heartbeat_seconds)
        if self.keeper_mem_gb is not None and self.keeper_mem_per_cpu is not None:
            raise UserError("cluster.keeper_mem_gb and cluster.keeper_mem_per_cpu exclude each other: give one of them.")
        for what in self.stage:
            one_of("cluster.stage", what, ("model", "environment"))
        if self.stage and not self.scratch:
            raise UserError("cluster.stage needs cluster.scratch, a folder on the node's own disk, such as '$TMPDIR'.")
