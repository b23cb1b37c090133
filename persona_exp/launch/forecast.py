"""What a sweep will be, before it begins: its trials' weight, what its devices bear, the tasks that come of both, and their cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.config.schema import Cluster
from persona_exp.launch.cost import history, prediction
from persona_exp.launch.options import LocalOptions, SlurmOptions, for_sbatch
from persona_exp.launch.planning.bundles import Load, Task, Terms, plan
from persona_exp.launch.planning.loads import Records, Sealing, lane_bytes, loads_of, records_of, saturated, sharing
from persona_exp.launch.sweeps.rows import Row

if TYPE_CHECKING:
    from persona_exp.launch.slurm.limits import Limits


@dataclass(frozen=True)
class Device:
    """What a task gets: `gpus`, the memory of one of them, or without any that of the job (GiB, None: not known), and `tasks_at_once`."""

    gpus: int
    memory_gb: float | None
    tasks_at_once: int


@dataclass(frozen=True)
class Forecast:
    """The `loads` of a sweep's `rows`, in their order, and the terms that a plan of them keeps to."""

    rows: tuple[Row, ...]
    loads: tuple[Load, ...]
    terms: Terms
    device: Device
    past: history.History
    records: Records

    def plan(self, left: Sequence[Row]) -> tuple[Task, ...]:
        """The tasks of some of the rows."""
        by_seal = {load.seals[0]: load for load in self.loads}
        return plan([by_seal[row.wanted.seal] for row in left], self.terms)

    def estimate(self, left: Sequence[Row], limits: "Limits | None") -> prediction.Estimate:
        """What some of the rows are expected to take."""
        first = self.rows[0].config
        return prediction.estimate(
            [row.config for row in left],
            gpus_per_trial=self.device.gpus,
            parallelism=self.device.tasks_at_once,
            cluster=first.cluster,
            trial_ids=[row.trial.trial_id for row in left],
            history=self.past,
            sharing=sharing(self.plan(left), _sealings(left), self.records, gpu=bool(self.device.gpus)),
            trials=len(self.rows),
            gpu_memory_gb=limits.gpu_memory_gb if limits else None,
        )


def forecast(found: Sequence[Row], options: LocalOptions | SlurmOptions, limits: "Limits | None") -> Forecast:
    """Look at the sealed rows of a sweep and at what was recorded before them; nothing is written."""
    first, trials = found[0].config, _sealings(found)
    past = history.read(Path(first.runs), [row.trial.trial_id for row in found], [row.config for row in found])
    device = device_of(options, first.cluster, limits)
    loads = loads_of(trials, past)
    gpu = bool(device.gpus)
    same_device, _ = history.of_one_device(past.records, gpu=gpu, kind=prediction.gpu_kind(first.cluster))
    records = records_of(trials, past, same_device)
    terms = Terms(
        size=first.bundle.size,
        tasks_at_once=device.tasks_at_once,
        lane_bytes=lane_bytes(trials, loads, device.memory_gb, records, gpu=gpu),
        # On processors earlier runs tell more of who else was at work; who travels together must not hang on that.
        saturated=saturated(records) if gpu else {},
        trials_per_task=options.trials_per_task if isinstance(options, SlurmOptions) else None,
        share=isinstance(options, LocalOptions),
    )
    return Forecast(tuple(found), tuple(loads), terms, device, past, records)


def _sealings(rows: Sequence[Row]) -> list[Sealing]:
    return [Sealing(row.wanted.seal, row.facts.get("base"), row.config) for row in rows]


def device_of(options: LocalOptions | SlurmOptions, cluster: Cluster, limits: "Limits | None") -> Device:
    """A GPU, or the cores of a job or of this machine, shared among as many as run there at once."""
    from persona_exp.cgroup import memory_gb
    from persona_exp.launch.workers.gpus import gpu_memory_gb, gpus_here, gpus_of

    if isinstance(options, SlurmOptions):
        sbatch = for_sbatch(options, cluster)
        gpus, told = gpus_of(sbatch), limits.gpu_memory_gb if limits else None
        return Device(gpus, (cluster.gpu_memory_gb or told) if gpus else sbatch.get("mem_gb"), options.array_parallelism)
    here = gpus_here()
    n_jobs = options.n_jobs or max(1, len(here))
    if not here:
        return Device(0, memory_gb() / n_jobs, n_jobs)
    told = cluster.gpu_memory_gb or gpu_memory_gb(here)
    return Device(1, told / math.ceil(n_jobs / len(here)) if told else None, n_jobs)
