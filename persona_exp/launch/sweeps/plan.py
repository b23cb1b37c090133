"""Which trials a task runs, and which tasks an array holds."""

from collections.abc import Sequence

# A rehearsal's trial takes milliseconds, a job of its own a second.
NOOP_TRIALS = 100


def plan(seals: Sequence[str], *, engine: str, trials_per_task: int | None = None) -> tuple[tuple[str, ...], ...]:
    """The seals of each task, in order; `trials_per_task` counts trials (None: 1, of engine=noop 100).

    Seals of one trial, which is never worked on twice at once, stay together.
    """
    by_trial: dict[str, list[str]] = {}
    for seal in seals:
        by_trial.setdefault(seal.split("/")[0], []).append(seal)
    size = trials_per_task or (NOOP_TRIALS if engine == "noop" else 1)
    trials = list(by_trial.values())
    return tuple(tuple(seal for trial in trials[start : start + size] for seal in trial) for start in range(0, len(trials), size))


def arrays(n: int, max_array_size: int, max_submit_jobs: int | None, *, first: int = 0) -> list[tuple[int, int]]:
    """(first task, number of tasks) of each array for the tasks from `first` to `n`.

    `max_array_size` caps an array's highest index + 1, `max_submit_jobs` what Slurm takes at once, each task counted: tasks beyond that
    are left out, for the keeper's next round.
    """
    end = n if max_submit_jobs is None else min(n, first + max(0, max_submit_jobs))
    size = max(1, max_array_size)
    return [(start, min(size, end - start)) for start in range(first, end, size)]
