"""What each trial costs: its work in tokens, its slot's memory, and the tokens that saturate a device. Imports no torch."""

from collections.abc import Sequence
from statistics import median

from persona_exp.config.schema import Config
from persona_exp.launch.cost.duration_prediction import length_of, steps_of
from persona_exp.launch.cost.earlier_runs import History, RunRecord, TrialWork
from persona_exp.launch.planning.bundle_memory import PlannedTrial, Records, state_bytes_of, trains
from persona_exp.launch.planning.bundle_plan import TrialCost
from persona_exp.trial.engine_selection import alone_reason

# Of data that nobody has counted: the same for all, for it is the order that matters.
EXAMPLES_GUESSED = 1000
# As fast as the fastest, but for noise.
NEARLY = 0.95


def trial_costs(trials: Sequence[PlannedTrial], history: History) -> list[TrialCost]:
    """Return the cost of each trial, in the same order.

    Work is in tokens of real examples where earlier runs tell how long those are; else all are taken to be as long as they may be.
    """
    works = history.of([one.seal.split("/")[0] for one in trials])
    works_or_none: Sequence[TrialWork | None] = works or [None] * len(trials)
    known = _relevant(works_or_none, history.records)
    lengths = [length_of(work, known[work.model, work.method, work.data]) if work and work.trains else None for work in works_or_none]
    measured = all(length is not None for length, one in zip(lengths, trials, strict=True) if trains(one.config))
    found = []
    for one, work, length in zip(trials, works_or_none, lengths, strict=True):
        config, training = one.config, trains(one.config)
        tokens = config.optim.effective_batch_size * (length if measured and length else float(config.train.max_length))
        steps = steps_of(work, known[work.model, work.method, work.data]) if work else None
        found.append(
            TrialCost(
                seals=(one.seal,),
                base=one.base,
                work=(steps or _steps(config)) * tokens if training else _unit(config),
                tokens_a_step=tokens if measured and training else None,
                state_bytes=state_bytes_of(config) if one.base and training else 0,
                reason=alone_reason(config),
                brief=config.engine.name == "noop",
            )
        )
    return found


def records_of(trials: Sequence[PlannedTrial], history: History, records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return by base those of `records` whose base model was computed in the same way."""
    first = {one.base: one.seal.split("/")[0] for one in trials if one.base is not None and trains(one.config)}
    works = history.of(list(first.values())) or []
    return {base: [one for one in records if one.base == work.base] for base, work in zip(first, works, strict=False)}


def saturation_tokens(records: Records) -> dict[str, float]:
    """Return by base the tokens a step from which on more bring nothing, as the device has shown before its bundles began (the median)."""
    found = {}
    for base, own in records.items():
        probes = [one.bundle.probe for one in own if one.bundle and one.bundle.probe]
        # One length says nothing of others.
        enough = [enough_tokens(one.speeds) for one in probes if len(one.speeds) > 1]
        if enough:
            found[base] = median(enough)
    return found


def enough_tokens(speeds: Sequence[tuple[int, float]]) -> int:
    """Return the shortest of some rows (tokens, tokens a second) that is as fast as the fastest but 5 %."""
    best = max(speed for _, speed in speeds)
    return min(tokens for tokens, speed in speeds if speed >= NEARLY * best)


def _relevant(works: Sequence[TrialWork | None], records: Sequence[RunRecord]) -> dict[tuple[str, str, str], list[RunRecord]]:
    """Return by (model, method, data) the records that tell how long such a trial's examples are: those of the same data, else all."""
    found: dict[tuple[str, str, str], list[RunRecord]] = {}
    for work in works:
        if work and (key := (work.model, work.method, work.data)) not in found:
            own = [one for one in records if (one.model, one.method) == key[:2]]
            found[key] = [one for one in own if one.data == work.data] or own
    return found


def _unit(config: Config) -> float:
    """Return the work of a trial that has no steps: rehearsals are all alike; what trains nothing weighs nothing."""
    return 1.0 if config.engine.name == "noop" else 0.0


def _steps(config: Config) -> float:
    return config.train.stop_at_step or config.train.max_steps or config.train.epochs * EXAMPLES_GUESSED / config.optim.effective_batch_size
