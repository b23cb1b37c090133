"""Trials to tasks. A task is a queue: its first trials are bundled on one base model, and each that ends makes room for the next."""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

# A rehearsal's trial takes milliseconds, a job of its own a second.
BRIEF_TRIALS = 100


@dataclass(frozen=True)
class TrialCost:
    """What is known of a trial: `seals`, which stay together, and the digest of the base model that it may share (None: it runs alone,
    for `reason`, where there is one).

    `work` counts in a unit common to all, as tokens; 0 of a trial that trains nothing and takes no place. `tokens_a_step` is None where
    unknown. `state_bytes` are its adapter's, optimiser's and gradients'. `brief` is a rehearsal.
    """

    seals: tuple[str, ...]
    base: str | None = None
    work: float = 1.0
    tokens_a_step: float | None = None
    state_bytes: int = 0
    reason: str | None = None
    brief: bool = False

    @property
    def trial_id(self) -> str:
        return self.seals[0].split("/")[0]


@dataclass(frozen=True)
class Terms:
    """What a plan must keep to: at most `size` trials at once, whose states take no more than `slot_bytes` of their base.

    By base as well, `saturated` is the number of tokens a step from which on more bring nothing: others rather have a task of their own,
    where one more may run; a base that is not named there is unknown. `tasks_at_once` tasks may run at the same time; with `share` their
    devices stand idle unless each has a task. The person's `trials_per_task` is the queues' length, whatever the rest would make it.
    """

    size: int = 1
    tasks_at_once: int = 1
    slot_bytes: Mapping[str, int] = field(default_factory=dict, hash=False)
    saturated: Mapping[str, float] = field(default_factory=dict, hash=False)
    trials_per_task: int | None = None
    share: bool = False


@dataclass(frozen=True)
class Task:
    """A queue of trials, of which `at_once` run together."""

    trials: tuple[TrialCost, ...]
    at_once: int = 1

    @property
    def seals(self) -> tuple[str, ...]:
        return tuple(seal for trial in self.trials for seal in trial.seals)

    @property
    def work(self) -> float:
        return math.fsum(trial.work for trial in self.trials)

    @property
    def base(self) -> str | None:
        return self.trials[0].base


def plan(costs: Iterable[TrialCost], terms: Terms) -> tuple[Task, ...]:
    """Return every trial in one task, the heaviest task first; trials of equal weight keep their order.

    Trials on one base model, longest first and like with like, are cut into bundles that end together. Where those are more than the
    tasks that may run at once, each task is a longer queue instead, and the trials go to the queue with the least work, longest trial
    first: the last queue ends within 4/3 − 1/(3m) of the best that m queues can do, were a trial a job and a queue a machine (Graham
    1969, doi:10.1137/0117039).
    """
    together, alone = _groups(one_cost_a_trial(costs), terms)
    chunks = _alone(alone, terms)
    terms = replace(terms, size=_size(together, alone, terms))
    slices = {base: _slices([one for one in group if one.work], base, terms) for base, group in together.items()}
    allowed = _allowed({base: (_work(group), len(slices[base])) for base, group in together.items()}, chunks, terms)
    tasks = [Task(tuple(chunk)) for chunk in chunks]
    for base, group in together.items():
        tasks += _tasks(group, slices[base], base, allowed[base], terms)
    return tuple(sorted(tasks, key=lambda task: -task.work))


def one_cost_a_trial(costs: Iterable[TrialCost]) -> list[TrialCost]:
    """Return one cost a trial, with all of its seals: they are never worked on twice at once."""
    trials: dict[str, TrialCost] = {}
    for one in costs:
        before = trials.get(one.trial_id)
        trials[one.trial_id] = replace(before, seals=(*before.seals, *one.seals)) if before else one
    return list(trials.values())


def plan_summary(tasks: Sequence[Task]) -> str | None:
    """Return one line for people; None where there is nothing to say of bundles."""
    bundled = [task for task in tasks if task.base and not any(one.reason for one in task.trials)]
    if all(len(task.trials) == 1 for task in bundled):
        bundled = []
    reasons: dict[str, int] = {}
    for task in tasks:
        for one in task.trials:
            if one.reason:
                reasons[one.reason] = reasons.get(one.reason, 0) + 1
    if not bundled and not reasons:
        return None
    if not bundled:
        each = [f"{count} trial{'s' if count > 1 else ''} alone ({reason})" for reason, count in reasons.items()]
        return f"No bundles: {'; '.join(each)}."
    bases = len({task.base for task in bundled})
    where = "one base model" if bases == 1 else f"each of {bases} base models"
    trials, most = sum(len(task.trials) for task in bundled), max(task.at_once for task in bundled)
    tasks_text = f"{len(bundled)} task{'s' if len(bundled) > 1 else ''}"
    text = f"{trials} trial{'s' if trials > 1 else ''} in {tasks_text}, up to {most} at once on {where}"
    return f"Bundles: {'; '.join([text, *(f'{count} alone ({reason})' for reason, count in reasons.items())])}."


def _groups(trials: Sequence[TrialCost], terms: Terms) -> tuple[dict[str, list[TrialCost]], list[TrialCost]]:
    """Return the trials by base, in the order of their queue; and those that run alone."""
    together: dict[str, list[TrialCost]] = {}
    alone = []
    for one in trials:
        if one.base is None:
            alone.append(one)
        elif one.state_bytes > terms.slot_bytes.get(one.base, math.inf):
            alone.append(replace(one, reason="more than the device's memory, as far as can be told"))
        else:
            together.setdefault(one.base, []).append(one)
    # Like with like: equal ranks need no filling, and their states the same room.
    ordered = {base: sorted(group, key=lambda one: (-one.work, -one.state_bytes)) for base, group in together.items()}
    return ordered, sorted(alone, key=lambda one: -one.work)


def _alone(alone: Sequence[TrialCost], terms: Terms) -> list[Sequence[TrialCost]]:
    """Return queues of trials that run one after the other; one that fits beside no other shares not even its task."""
    brief, large = [one for one in alone if one.brief], [one for one in alone if one.base is not None]
    others = [one for one in alone if not one.brief and one.base is None]
    most = BRIEF_TRIALS if not terms.share else min(BRIEF_TRIALS, math.ceil(len(brief) / terms.tasks_at_once) or 1)
    return [*_chunks(brief, terms.trials_per_task or most), *_chunks(others, terms.trials_per_task or 1), *_chunks(large, 1)]


def _chunks(costs: Sequence[TrialCost], size: int) -> list[Sequence[TrialCost]]:
    return [costs[start : start + size] for start in range(0, len(costs), size)]


def _size(together: Mapping[str, Sequence[TrialCost]], alone: Sequence[TrialCost], terms: Terms) -> int:
    """Return how many run together at most: where devices stand idle otherwise, no more than each one's share."""
    if not terms.share or terms.trials_per_task:
        return terms.size
    trials = sum(one.work > 0 for group in (*together.values(), alone) for one in group)
    return min(terms.size, max(1, math.ceil(trials / terms.tasks_at_once)))


def _slices(trials: Sequence[TrialCost], base: str, terms: Terms) -> list[Sequence[TrialCost]]:
    """Return neighbours of an ordered group that are bundled: as few as these cuts allow, then as even as that many can be."""
    few = _cut(trials, base, terms, terms.size)
    even = _cut(trials, base, terms, math.ceil(len(trials) / len(few))) if few else few
    return even if len(even) <= len(few) else few


def _cut(trials: Sequence[TrialCost], base: str, terms: Terms, size: int) -> list[Sequence[TrialCost]]:
    memory, enough = terms.slot_bytes.get(base, math.inf), terms.saturated.get(base, math.inf)
    cuts: list[list[TrialCost]] = []
    taken = tokens = 0.0
    for one in trials:
        if not cuts or len(cuts[-1]) >= size or taken + one.state_bytes > memory or tokens >= enough:
            cuts.append([])
            taken = tokens = 0.0
        cuts[-1].append(one)
        taken, tokens = taken + one.state_bytes, tokens + (one.tokens_a_step or 0)
    return list(cuts)


def _work(trials: Iterable[TrialCost]) -> float:
    return math.fsum(one.work for one in trials)


def _allowed(groups: Mapping[str, tuple[float, int]], chunks: Sequence[Sequence[TrialCost]], terms: Terms) -> dict[str, int]:
    """Return how many tasks each base gets of those that may run at once: one, and each further one where a task has the most work.

    `groups` have their work and the number of tasks that they can use. Trials that run alone keep their tasks, and have their share.
    """
    asked: dict[str | None, tuple[float, int]] = dict(groups.items())
    if chunks:
        asked[None] = (_work(one for chunk in chunks for one in chunk), len(chunks))
    given = dict.fromkeys(asked, 1)
    waiting = [(-work, place, name) for place, (name, (work, _)) in enumerate(asked.items())]
    heapq.heapify(waiting)
    left = terms.tasks_at_once - len(asked)
    while left > 0 and waiting:
        _, place, name = heapq.heappop(waiting)
        work, most = asked[name]
        if given[name] < most:
            given[name] += 1
            left -= 1
            heapq.heappush(waiting, (-work / given[name], place, name))
    return {base: given[base] for base in groups}


def _tasks(group: Sequence[TrialCost], slices: Sequence[Sequence[TrialCost]], base: str, allowed: int, terms: Terms) -> list[Task]:
    """Return the tasks of one base. Trials that train nothing come last in the lightest one: there they wait for no device of their own."""
    if terms.trials_per_task:
        return [_task(queue, base, terms) for queue in _chunks(group, terms.trials_per_task)]
    idle = [one for one in group if not one.work]
    if not slices:
        return [_task(idle, base, terms)]
    queues = [list(one) for one in slices] if len(slices) <= allowed else _dealt_out([one for one in group if one.work], allowed)
    min(queues, key=_work).extend(idle)
    if len(slices) <= allowed:
        return [Task(tuple(queue), sum(one.work > 0 for one in queue)) for queue in queues]
    return [_task(queue, base, terms) for queue in queues]


def _dealt_out(trials: Sequence[TrialCost], number: int) -> list[list[TrialCost]]:
    """Deal the trials out, longest first, each to the queue with the least work so far."""
    queues: list[list[TrialCost]] = [[] for _ in range(number)]
    lightest = [(0.0, place) for place in range(number)]
    for one in trials:
        work, place = lightest[0]
        queues[place].append(one)
        heapq.heapreplace(lightest, (work + one.work, place))
    return queues


def _task(queue: Sequence[TrialCost], base: str, terms: Terms) -> Task:
    """Return the queue as a task of as many at once as fit, whichever of its trials they are."""
    trained = [one for one in queue if one.work]
    largest = accumulate(sorted((one.state_bytes for one in trained), reverse=True))
    fitting = sum(taken <= terms.slot_bytes.get(base, math.inf) for taken in largest)
    return Task(tuple(queue), max(1, min(terms.size, fitting, len(trained))))
