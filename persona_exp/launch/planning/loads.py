"""What trials weigh and what their device bears, told from their configs, from the sizes of their base models and from earlier runs.

Imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from persona_exp.config.alone import engines_reason
from persona_exp.config.schema import Config
from persona_exp.launch.cost.history import History, Record, Work, length_of, steps_of
from persona_exp.launch.cost.prediction import Sharing
from persona_exp.launch.planning.bundles import Load, Task
from persona_exp.modeling import memory
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.shape import Shape, shape_of

# Of data that nobody has counted: the same for all, for it is the order that matters.
EXAMPLES_GUESSED = 1000
# What a plan leaves free: fragments of memory, and what an estimate cannot tell.
USED_PART = 0.9
# As fast as the fastest, but for noise.
NEARLY = 0.95

# By base, what one device did with it before.
Records = Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Sealing:
    """A sealed trial: its seal as a path relative to runs/trials, and the base model that the seal lets it share (None: none)."""

    seal: str
    base: str | None
    config: Config


def loads_of(trials: Sequence[Sealing], history: History) -> list[Load]:
    """The load of each trial, in the same order. Work is in tokens of real examples where earlier runs tell how long those are; else all
    are taken to be as long as they may be."""
    works = history.of([one.seal.split("/")[0] for one in trials])
    told: Sequence[Work | None] = works or [None] * len(trials)
    known = _relevant(told, history.records)
    lengths = [length_of(work, known[work.model, work.method, work.data]) if work and work.trains else None for work in told]
    measured = all(length is not None for length, one in zip(lengths, trials, strict=True) if _trains(one.config))
    found = []
    for one, work, length in zip(trials, told, lengths, strict=True):
        config, trains = one.config, _trains(one.config)
        tokens = config.optim.effective_batch_size * (length if measured and length else float(config.train.max_length))
        steps = steps_of(work, known[work.model, work.method, work.data]) if work else None
        found.append(
            Load(
                seals=(one.seal,),
                base=one.base,
                work=(steps or _steps(config)) * tokens if trains else _unit(config),
                tokens_a_step=tokens if measured and trains else None,
                state_bytes=_state_bytes(config) if one.base and trains else 0,
                reason=engines_reason(config),
                brief=config.engine.name == "noop",
            )
        )
    return found


def shared_bytes(trials: Sequence[Sealing], records: Records, *, gpu: bool, checkpointing: bool = False) -> dict[str, int]:
    """By base, what a bundle takes whoever rides in it; without those whose model's sizes are not known here.

    What `records` have measured with rows of the same length comes first, less their trials' own states; else it is
    estimated, with `checkpointing` as where memory is scarce and train.gradient_checkpointing leaves that to the engine.
    """
    from persona_exp.trial.bundle import ROW_TOKENS

    found = {}
    for base, configs in _by_base(trials).items():
        shape = _shape(configs[0])
        if shape is None:
            continue
        row_tokens = configs[0].bundle.row_tokens or ROW_TOKENS
        measured = _measured(shape, row_tokens, records.get(base, []))
        found[base] = measured or _estimated(shape, row_tokens, configs, gpu=gpu, checkpointing=checkpointing)
    return found


def _estimated(shape: Shape, row_tokens: int, configs: Sequence[Config], *, gpu: bool, checkpointing: bool) -> int:
    """Bytes of the base model and of a row of the neediest of `configs`."""
    first, twice = configs[0], [config.train.gradient_checkpointing for config in configs]
    return memory.shared(
        shape,
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
    ).total


def _measured(shape: Shape, row_tokens: int, records: Sequence[Record]) -> int | None:
    """The most that a bundle of such rows took beside its trials' states; None where none was measured.

    Of trials of different ranks, the one with the smallest states tells the most: rather too much than too little.
    """
    took = []
    for one in records:
        if not one.bundle or not one.lane:
            continue
        r, target_modules, optimizer = one.lane
        own = memory.lane(shape, r=r, target_modules=target_modules, optimizer=optimizer)
        probe = one.bundle.probe
        if probe and probe.bytes_per_token:
            # Where rows grew into the memory, the peak says nothing of shorter ones.
            took.append(probe.resident_bytes + int(row_tokens * probe.bytes_per_token) - probe.trials * own)
        elif one.bundle.peak_memory_bytes and one.bundle.row_tokens == row_tokens:
            took.append(one.bundle.peak_memory_bytes - one.bundle.trials * own)
    return max(took) if took and max(took) > 0 else None


def lane_bytes(trials: Sequence[Sealing], loads: Sequence[Load], device_gb: float | None, records: Records, *, gpu: bool) -> dict[str, int]:
    """By base, what the trials of a bundle may take beside what they share, on a device of `device_gb` GiB (None: not known)."""
    if device_gb is None:
        return {}
    bears = int(device_gb * memory.GIB * USED_PART)
    usual, least = (shared_bytes(trials, records, gpu=gpu, checkpointing=twice) for twice in (False, True))
    largest = {base: max(load.state_bytes for load in loads if load.base == base) for base in usual}
    return {base: max(0, bears - (usual[base] if bears - usual[base] >= largest[base] else least[base])) for base in usual}


def records_of(trials: Sequence[Sealing], history: History, records: Sequence[Record]) -> dict[str, list[Record]]:
    """By base, those of `records` whose base model was computed in the same way."""
    first = {one.base: one.seal.split("/")[0] for one in trials if one.base is not None and _trains(one.config)}
    works = history.of(list(first.values())) or []
    return {base: [one for one in records if one.base == work.base] for base, work in zip(first, works, strict=False)}


def saturated(records: Records) -> dict[str, float]:
    """By base, the tokens a step from which on more bring nothing, as the device has shown before its bundles began (the median)."""
    found = {}
    for base, own in records.items():
        probes = [one.bundle.probe for one in own if one.bundle and one.bundle.probe]
        # One length says nothing of others.
        enough = [enough_tokens(one.speeds) for one in probes if len(one.speeds) > 1]
        if enough:
            found[base] = median(enough)
    return found


def enough_tokens(speeds: Sequence[tuple[int, float]]) -> int:
    """The shortest of some rows (tokens, tokens a second) that is as fast as the fastest but 5 %."""
    best = max(speed for _, speed in speeds)
    return min(tokens for tokens, speed in speeds if speed >= NEARLY * best)


def sharing(tasks: Sequence[Task], trials: Sequence[Sealing], records: Records, *, gpu: bool) -> Sharing:
    """What a plan makes of the devices, for the estimate."""
    configs = {one.seal: one.config for one in trials}
    bundles = [task for task in tasks if task.base is not None and task.work]
    needs = shared_bytes(trials, records, gpu=gpu)
    known = all(task.base in needs for task in bundles)
    most = max((needs[task.base] + _largest(task) for task in bundles if task.base in needs), default=0)
    return Sharing(
        tasks=len(tasks),
        bundles=len(bundles),
        memory_gb=most / memory.GIB if known and bundles else None,
        alone=[configs[task.seals[0]] for task in tasks if task.base is None or not task.work],
    )


def _largest(task: Task) -> int:
    """Bytes of those trials that need most, as many as ride at once."""
    return sum(sorted((load.state_bytes for load in task.loads), reverse=True)[: task.at_once])


def _by_base(trials: Sequence[Sealing]) -> Mapping[str, list[Config]]:
    found: dict[str, list[Config]] = {}
    for one in trials:
        if one.base is not None and _trains(one.config):
            found.setdefault(one.base, []).append(one.config)
    return found


def _relevant(works: Sequence[Work | None], records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """By (model, method, data), the records that tell how long such a trial's examples are: those of the same data, else all."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for work in works:
        if work and (key := (work.model, work.method, work.data)) not in found:
            own = [one for one in records if (one.model, one.method) == key[:2]]
            found[key] = [one for one in own if one.data == work.data] or own
    return found


def _trains(config: Config) -> bool:
    return config.engine.name != "noop" and config.method.name != "none"


def _unit(config: Config) -> float:
    """Rehearsals are all alike; what trains nothing weighs nothing."""
    return 1.0 if config.engine.name == "noop" else 0.0


def _steps(config: Config) -> float:
    return config.train.max_steps or config.train.epochs * EXAMPLES_GUESSED / config.optim.effective_batch_size


def _state_bytes(config: Config) -> int:
    shape, lora = _shape(config), config.lora
    if shape is None:
        return 0
    return memory.lane(shape, r=lora.r, target_modules=lora.target_modules, optimizer=config.optim.name)


def _shape(config: Config) -> Shape | None:
    model = config.model
    return _known_shape(model.source, model.location, model.revision, model.sha256, cache_folder())


@cache
def _known_shape(source: str, location: str, revision: str | None, sha256: str | None, folder: Path) -> Shape | None:
    return shape_of(source, location, revision, sha256, folder)
