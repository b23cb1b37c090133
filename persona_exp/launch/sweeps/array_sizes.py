"""How a site's limits part tasks into arrays."""


def array_sizes(n: int, max_array_size: int, max_submit_jobs: int | None, *, first: int = 0) -> list[tuple[int, int]]:
    """(first task, number of tasks) of each array for the tasks from `first` to `n`.

    `max_array_size` caps an array's highest index + 1, `max_submit_jobs` what Slurm takes at once, each task counted: tasks beyond that
    are left out, for the keeper's next round.
    """
    end = n if max_submit_jobs is None else min(n, first + max(0, max_submit_jobs))
    size = max(1, max_array_size)
    return [(start, min(size, end - start)) for start in range(first, end, size)]
