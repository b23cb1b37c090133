"""Config group `cluster`: what a machine or a Slurm site offers."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.errors import UserError


@dataclass
class Cluster:
    """What a machine or a Slurm site offers. No part of it can change a trial's mathematics, so none is in its identity.

    `threads` is the number of CPU threads a trial computes with (null: all cores). From `partition` to `setup` the settings are what
    hydra.launcher takes for this site unless they are set there, under submitit's names; `setup` are shell lines run before a job's Python
    (modules, Apptainer). `gpus_per_node` may carry a type, as in a100:1. `keeper_partition` is where a sweep's last, GPU-less job runs
    (null: `partition`); its `keeper_qos` (null: `qos`), memory (null: 4 GB) and time limit (null: an hour, or `timeout_min`) are its own.

    `stage` names what is copied to the node-local folder `scratch` once per node: model, environment. `gpu_memory_gb` is given where
    Slurm cannot tell it. A trial's attempt counts a heartbeat every `heartbeat_seconds`; it is believed dead when the count stands still
    for `lease_seconds`. `hours_per_trial` is your own estimate, for when no earlier run allows one; a sweep that is expected to take more
    than `budget_gpu_hours` is refused.
    """

    name: str = MISSING
    threads: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    gpus_per_node: str | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    timeout_min: int = 240
    signal_delay_s: int = 120
    setup: list[str] = field(default_factory=list)
    keeper_partition: str | None = None
    keeper_qos: str | None = None
    keeper_mem_gb: float | None = None
    keeper_mem_per_cpu: str | None = None
    keeper_timeout_min: int | None = None
    scratch: str | None = None
    stage: list[str] = field(default_factory=list)
    gpu_memory_gb: float | None = None
    heartbeat_seconds: float = 10.0
    lease_seconds: float = 60.0
    hours_per_trial: float | None = None
    budget_gpu_hours: float | None = None

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
