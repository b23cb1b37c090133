"""What a sweep will cost in memory, hours and GPU-hours, before anything is submitted. Imports no torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from persona_exp import atomic_files
from persona_exp.config.schema import Cluster, Config
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.cost.duration_prediction import FEWEST, Interval, predict
from persona_exp.launch.cost.earlier_runs import History, TrialWork, gpu_kind, of_one_device
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.neediest_trial_memory import neediest_trial_gb

COST = "cost.json"

Source = Literal["records", "cluster.hours_per_trial", "unknown", "noop"]


@dataclass(frozen=True)
class Sharing:
    """How trials share devices: in `tasks` tasks, of which `bundles` hold trials that are trained together, the neediest of those with
    `memory_gb` GiB (None: not known). `alone` are the configs of the others."""

    tasks: int
    bundles: int
    memory_gb: float | None
    alone: Sequence[Config]


@dataclass(frozen=True)
class Estimate:
    """What `to_run` of a sweep's `trials` are expected to take.

    `memory_gb` is the neediest trial's peak, or bundle's, and `gpu_gb` what one GPU has, both in GiB. `hours` are those of all trials one
    after the other, each with its share of its bundle's, `gpu_hours` the same times `gpus` (GPUs a task), `wall_hours` a lower bound: as
    if `parallelism` of the `tasks` (None: one a trial) started at once and nothing waited. `records` earlier runs on `device` were found,
    a bundle counted as one. `source` says where the hours come from.
    """

    trials: int
    to_run: int
    gpus: int
    parallelism: int
    memory_gb: float | None
    gpu_gb: float | None
    hours: Interval | None
    records: int
    device: str | None
    source: Source
    tasks: int | None = None
    bundles: bool = False

    @property
    def at_once(self) -> int:
        return max(1, min(self.parallelism, self.to_run if self.tasks is None else self.tasks))

    @property
    def gpu_hours(self) -> Interval | None:
        return self.hours.times(self.gpus) if self.hours else None

    @property
    def wall_hours(self) -> Interval | None:
        return self.hours.times(1 / self.at_once) if self.hours else None


def estimate(
    configs_to_run: Sequence[Config],
    *,
    gpus_per_trial: int,
    parallelism: int,
    cluster: Cluster,
    trial_ids: Sequence[str] = (),
    history: History | None = None,
    sharing: Sharing | None = None,
    trials: int | None = None,
    gpu_memory_gb: float | None = None,
) -> Estimate:
    """Return what running `configs_to_run` will take.

    `trial_ids` are their sealed trials, in the same order, of which `history` tells; without it there are no earlier runs. `sharing` is
    None where each trial is a task of its own. `trials` counts the whole sweep. `gpu_memory_gb` is what Slurm tells of the partition's
    GPUs; the cluster's own word comes first.
    """
    configs = list(configs_to_run)
    hours, records, device = None, 0, None
    source: Source = "unknown"
    if all(config.engine.name == "noop" for config in configs):
        source = "noop"
    else:
        if history and (works := history.of(trial_ids)):
            hours, records, device = _from_records(works, history, gpus_per_trial, cluster)
        if hours:
            source = "records"
        elif cluster.hours_per_trial is not None:
            hours, source = Interval(None, cluster.hours_per_trial * len(configs), None), "cluster.hours_per_trial"
    return Estimate(
        trials=len(configs) if trials is None else trials,
        to_run=len(configs),
        gpus=gpus_per_trial,
        parallelism=parallelism,
        memory_gb=None if source == "noop" else _neediest_gb(configs, sharing, gpu=bool(gpus_per_trial)),
        gpu_gb=(cluster.gpu_memory_gb or gpu_memory_gb) if gpus_per_trial else None,
        hours=hours,
        records=records,
        device=device,
        source=source,
        tasks=sharing.tasks if sharing else None,
        bundles=bool(sharing and sharing.bundles),
    )


def lines(estimate: Estimate) -> list[str]:
    """Return the estimate for people, as lines."""
    finished = estimate.trials - estimate.to_run
    text = [f"{counted(estimate.trials, 'trial')}, {finished} finished, {estimate.to_run} to run."]
    if estimate.source == "noop" or not estimate.to_run:
        return text
    text.append(_memory_line(estimate))
    unit = "GPU-hours" if estimate.gpus else "Hours of computing"
    hours = estimate.gpu_hours if estimate.gpus else estimate.hours
    if hours is None or estimate.wall_hours is None:
        return [*text, f"{unit}: unknown, for no earlier run of this model, method and device is recorded (set cluster.hours_per_trial)."]
    why = _runs(estimate, hours) if estimate.source == "records" else "cluster.hours_per_trial"
    text.append(f"{unit}: {hours.text()} (from {why}).")
    what = ("1 task runs" if estimate.at_once == 1 else f"{estimate.at_once} tasks run") if estimate.bundles else f"{estimate.at_once} run"
    text.append(f"Wall time: at least {estimate.wall_hours.text()} hours, if {what} at once and none waits in the queue.")
    return text


def _runs(estimate: Estimate, hours: Interval) -> str:
    runs = f"{estimate.records} earlier run{'' if estimate.records == 1 else 's'} on {estimate.device}"
    if hours.tells:
        return f"{runs}, 95 % interval"
    if hours.low is not None:
        return f"{runs}, which differ too much for an interval"
    few = "too few" if estimate.records < FEWEST else "too few of one model and method"
    return f"{runs}: {few} for an interval"


def refuse_over_budget(estimate: Estimate, cluster: Cluster) -> None:
    """Raise UserError where more GPU-hours (hours, for trials without a GPU) are expected than `cluster.budget_gpu_hours`.

    It is the mean that counts. What cannot be estimated is not refused.
    """
    hours = estimate.gpu_hours if estimate.gpus else estimate.hours
    if cluster.budget_gpu_hours is None or hours is None or hours.mean <= cluster.budget_gpu_hours:
        return
    unit = "GPU-hours" if estimate.gpus else "hours of computing"
    raise UserError(
        f"The sweep is expected to take {hours.text()} {unit}, more than cluster.budget_gpu_hours={cluster.budget_gpu_hours:g}: "
        "ask for fewer trials, or raise the budget."
    )


def keep(estimate: Estimate, folder: Path) -> None:
    """Write the prediction to cost.json in a submission's folder, for `hours_used.compare`."""
    atomic_files.write_json(folder / COST, {**asdict(estimate), "at": utc_now()})


def _from_records(works: Sequence[TrialWork], history: History, gpus: int, cluster: Cluster) -> tuple[Interval | None, int, str | None]:
    records, device = of_one_device(history.records, gpu=bool(gpus), kind=gpu_kind(cluster))
    prediction = predict(works, records)
    if prediction is None:
        return None, 0, None
    seconds, used = prediction
    return seconds.times(1 / 3600), used, device


def _neediest_gb(configs: Sequence[Config], sharing: Sharing | None, *, gpu: bool) -> float | None:
    if sharing is None or not sharing.bundles:
        return neediest_trial_gb(configs, gpu=gpu)
    alone = neediest_trial_gb(sharing.alone, gpu=gpu) if sharing.alone else 0
    return None if alone is None or sharing.memory_gb is None else max(alone, sharing.memory_gb)


def _memory_line(estimate: Estimate) -> str:
    whose = "a bundle" if estimate.bundles else "a trial"
    if estimate.memory_gb is None:
        return f"Memory {whose}: unknown, for the model's config.json is not on this machine."
    small = estimate.memory_gb < 0.1
    text = f"Memory {whose}: about {f'{estimate.memory_gb * 1024:.0f} MiB' if small else f'{estimate.memory_gb:.1f} GiB'}"
    if estimate.gpu_gb is None:
        return f"{text}." if not estimate.gpus else f"{text} (the GPU's is unknown: set cluster.gpu_memory_gb)."
    if estimate.memory_gb > estimate.gpu_gb:
        less = "bundle.row_tokens" if estimate.bundles else "train.micro_batch_size"
        fix = f"lower {less}, set train.gradient_checkpointing=true, or take method=qlora"
        return f"{text}, more than the GPU's {estimate.gpu_gb:.0f}: {fix}."
    return f"{text} of the GPU's {estimate.gpu_gb:.0f}."
