"""What a sweep will be, before it begins: the cost of its trials, the memory of its devices, its tasks, and its estimate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.config.schema import Cluster
from persona_exp.launch.cost import cost_estimate, earlier_runs
from persona_exp.launch.launcher_options import LocalOptions, SlurmOptions, sbatch_options
from persona_exp.launch.planning.bundle_memory import PlannedTrial, Records, sharing, slot_bytes
from persona_exp.launch.planning.bundle_plan import Task, Terms, TrialCost, plan
from persona_exp.launch.planning.trial_cost_model import records_of, saturation_tokens, trial_costs
from persona_exp.launch.sweeps.seal_sweep_rows import Row

if TYPE_CHECKING:
    from persona_exp.launch.slurm.site_limits import Limits


@dataclass(frozen=True)
class Device:
    """What a task gets: `gpus`, the memory of one of them, or without any that of the job (GiB, None: not known), and `tasks_at_once`."""

    gpus: int
    memory_gb: float | None
    tasks_at_once: int


@dataclass(frozen=True)
class Forecast:
    """The `costs` of a sweep's `rows`, in their order, and the terms that a plan of them keeps to."""

    rows: tuple[Row, ...]
    costs: tuple[TrialCost, ...]
    terms: Terms
    device: Device
    history: earlier_runs.History
    records: Records

    def plan(self, rows: Sequence[Row]) -> tuple[Task, ...]:
        """Return the tasks of some of the rows."""
        by_seal = {cost.seals[0]: cost for cost in self.costs}
        return plan([by_seal[row.sweep_trial.seal] for row in rows], self.terms)

    def estimate(self, rows: Sequence[Row], limits: "Limits | None") -> cost_estimate.Estimate:
        """Return what some of the rows are expected to take."""
        first = self.rows[0].config
        return cost_estimate.estimate(
            [row.config for row in rows],
            gpus_per_trial=self.device.gpus,
            parallelism=self.device.tasks_at_once,
            cluster=first.cluster,
            trial_ids=[row.trial.trial_id for row in rows],
            history=self.history,
            sharing=sharing(self.plan(rows), _planned(rows), self.records, gpu=bool(self.device.gpus)),
            trials=len(self.rows),
            gpu_memory_gb=limits.gpu_memory_gb if limits else None,
        )


def forecast(rows: Sequence[Row], options: LocalOptions | SlurmOptions, limits: "Limits | None") -> Forecast:
    """Return the forecast of a sweep's sealed rows, from what was recorded before them; write nothing."""
    first, trials = rows[0].config, _planned(rows)
    past = earlier_runs.read(Path(first.runs), [row.trial.trial_id for row in rows], [row.config for row in rows])
    device = device_of(options, first.cluster, limits)
    costs = trial_costs(trials, past)
    gpu = bool(device.gpus)
    same_device, _ = earlier_runs.of_one_device(past.records, gpu=gpu, kind=earlier_runs.gpu_kind(first.cluster))
    records = records_of(trials, past, same_device)
    terms = Terms(
        size=first.bundle.size,
        tasks_at_once=device.tasks_at_once,
        slot_bytes=slot_bytes(trials, costs, device.memory_gb, records, gpu=gpu),
        # On processors earlier runs tell more of who else was at work; which trials are bundled must not depend on that.
        saturated=saturation_tokens(records) if gpu else {},
        trials_per_task=options.trials_per_task if isinstance(options, SlurmOptions) else None,
        share=isinstance(options, LocalOptions),
    )
    return Forecast(tuple(rows), tuple(costs), terms, device, past, records)


def _planned(rows: Sequence[Row]) -> list[PlannedTrial]:
    return [PlannedTrial(row.sweep_trial.seal, row.facts.get("base"), row.config) for row in rows]


def device_of(options: LocalOptions | SlurmOptions, cluster: Cluster, limits: "Limits | None") -> Device:
    """Return a GPU, or the cores of a job or of this machine, shared among as many as run there at once."""
    from persona_exp.cgroup_memory import memory_gb
    from persona_exp.launch.workers.visible_gpus import gpu_memory_gb, gpus_here, gpus_of

    if isinstance(options, SlurmOptions):
        sbatch = sbatch_options(options, cluster)
        gpus, gpu_gb = gpus_of(sbatch), limits.gpu_memory_gb if limits else None
        return Device(gpus, (cluster.gpu_memory_gb or gpu_gb) if gpus else sbatch.get("mem_gb"), options.array_parallelism)
    here = gpus_here()
    n_jobs = options.n_jobs or max(1, len(here))
    if not here:
        return Device(0, memory_gb() / n_jobs, n_jobs)
    gpu_gb = cluster.gpu_memory_gb or gpu_memory_gb(here)
    return Device(1, gpu_gb / math.ceil(n_jobs / len(here)) if gpu_gb else None, n_jobs)
