"""What trials and the bundles that they share take of a device's memory, from configs, the sizes of base models and earlier runs.

Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persona_exp.config.schema import Config
from persona_exp.launch.cost.cost_estimate import Sharing
from persona_exp.launch.cost.earlier_runs import RunRecord
from persona_exp.launch.planning.bundle_plan import Task, TrialCost
from persona_exp.modeling import training_memory_estimate
from persona_exp.modeling.layer_sizes import LayerSizes
from persona_exp.trial.neediest_trial_memory import base_layer_sizes

# By base, what one device did with it before.
Records = Mapping[str, Sequence[RunRecord]]


# What a plan leaves free: fragments of memory, and what an estimate cannot tell.
USED_PART = 0.9


@dataclass(frozen=True)
class PlannedTrial:
    """A sealed trial: its seal as a path relative to runs/trials, and the base model that the seal lets it share (None: none)."""

    seal: str
    base: str | None
    config: Config


def shared_bytes(trials: Sequence[PlannedTrial], records: Records, *, gpu: bool, checkpointing: bool = False) -> dict[str, int]:
    """Return by base what a bundle takes whichever trials share it; without bases whose model's sizes are not known here.

    What `records` have measured with rows of the same length comes first, less their trials' own states; else it is
    estimated, with `checkpointing` as where memory is scarce and train.gradient_checkpointing leaves that to the engine.
    """
    from persona_exp.training.fused.row_packing import ROW_TOKENS

    found = {}
    for base, configs in _by_base(trials).items():
        shape = base_layer_sizes(configs[0])
        if shape is None:
            continue
        row_tokens = configs[0].bundle.row_tokens or ROW_TOKENS
        measured = _measured(shape, row_tokens, records.get(base, []))
        found[base] = measured or _estimated(shape, row_tokens, configs, gpu=gpu, checkpointing=checkpointing)
    return found


def _estimated(shape: LayerSizes, row_tokens: int, configs: Sequence[Config], *, gpu: bool, checkpointing: bool) -> int:
    """Return the bytes of the base model and of a row of the neediest of `configs`."""
    first, twice = configs[0], [config.train.gradient_checkpointing for config in configs]
    return training_memory_estimate.estimate_bundle_memory(
        shape,
        training_memory_estimate.BundleTraining(
            quantisation=first.method.quantisation,
            double_quantisation=first.method.double_quantisation,
            dtype=first.model.dtype,
            row_tokens=row_tokens,
            longest=max(config.train.max_length for config in configs),
            r=max(config.lora.r for config in configs),
            target_modules=sorted({name for config in configs for name in config.lora.target_modules}),
            dropout=max(config.lora.dropout for config in configs),
            gradient_checkpointing=all(one is True or (one == "auto" and checkpointing) for one in twice),
            gpu=gpu,
            # What `auto` keeps in 16 bits gives way to trials.
            dequantised=first.model.cache_dequantized is True,
        ),
    ).total


def _measured(shape: LayerSizes, row_tokens: int, records: Sequence[RunRecord]) -> int | None:
    """Return the most that a bundle of such rows took beside its trials' states; None where none was measured.

    Of trials of different ranks, the one with the smallest states tells the most: rather too much than too little.
    """
    measured = []
    for one in records:
        if not one.bundle or not one.slot:
            continue
        r, target_modules, optimizer = one.slot
        own = training_memory_estimate.slot_bytes(shape, r=r, target_modules=target_modules, optimizer=optimizer)
        probe = one.bundle.probe
        if probe and probe.bytes_per_token:
            # Where rows grew into the memory, the peak says nothing of shorter ones.
            measured.append(probe.resident_bytes + int(row_tokens * probe.bytes_per_token) - probe.trials * own)
        elif one.bundle.peak_memory_bytes and one.bundle.row_tokens == row_tokens:
            measured.append(one.bundle.peak_memory_bytes - one.bundle.trials * own)
    return max(measured) if measured and max(measured) > 0 else None


def slot_bytes(
    trials: Sequence[PlannedTrial], costs: Sequence[TrialCost], device_gb: float | None, records: Records, *, gpu: bool
) -> dict[str, int]:
    """Return by base what the slots of a bundle may take beside what they share, on a device of `device_gb` GiB (None: not known)."""
    if device_gb is None:
        return {}
    bears = int(device_gb * training_memory_estimate.GIB * USED_PART)
    usual, least = (shared_bytes(trials, records, gpu=gpu, checkpointing=twice) for twice in (False, True))
    largest = {base: max(one.state_bytes for one in costs if one.base == base) for base in usual}
    return {base: max(0, bears - (usual[base] if bears - usual[base] >= largest[base] else least[base])) for base in usual}


def sharing(tasks: Sequence[Task], trials: Sequence[PlannedTrial], records: Records, *, gpu: bool) -> Sharing:
    """Return how a plan shares the devices, for the estimate."""
    configs = {one.seal: one.config for one in trials}
    bundles = [task for task in tasks if task.base is not None and task.work]
    needs = shared_bytes(trials, records, gpu=gpu)
    known = all(task.base in needs for task in bundles)
    most = max((needs[task.base] + _largest(task) for task in bundles if task.base in needs), default=0)
    return Sharing(
        tasks=len(tasks),
        bundles=len(bundles),
        memory_gb=most / training_memory_estimate.GIB if known and bundles else None,
        alone=[configs[task.seals[0]] for task in tasks if task.base is None or not task.work],
    )


def _largest(task: Task) -> int:
    """Return the bytes of those trials that need most, as many as run at once."""
    return sum(sorted((one.state_bytes for one in task.trials), reverse=True)[: task.at_once])


def _by_base(trials: Sequence[PlannedTrial]) -> Mapping[str, list[Config]]:
    found: dict[str, list[Config]] = {}
    for one in trials:
        if one.base is not None and trains(one.config):
            found.setdefault(one.base, []).append(one.config)
    return found


def trains(config: Config) -> bool:
    """Return whether the trial of this config trains anything."""
    return config.engine.name != "noop" and config.method.name != "none"


def state_bytes_of(config: Config) -> int:
    """Return the bytes of a trial's own state in a bundle; 0 where its model's sizes are not known here."""
    shape, lora = base_layer_sizes(config), config.lora
    if shape is None:
        return 0
    return training_memory_estimate.slot_bytes(shape, r=lora.r, target_modules=lora.target_modules, optimizer=config.optim.name)
