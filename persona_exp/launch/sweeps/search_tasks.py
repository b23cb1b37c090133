"""The tasks of a search: one for each worker, which asks for trials as it goes; the first has what was sealed beforehand."""

from collections.abc import Sequence
from pathlib import Path

from persona_exp.search.ask_files import ask_numbers, read_asks
from persona_exp.search.study_settings import read_settings, to_ask


def search_tasks(sweep_folder: Path, unserved: Sequence[str], workers: int) -> list[tuple[str, ...]]:
    """Return the tasks of at most `workers` workers, no more than there are trials left; `unserved` are seals that have no worker.

    What was asked for before is any worker's, and stands in none of them.
    """
    asked = {one.path for ask in read_asks(sweep_folder) for one in ask.trials}
    left = len(unserved) + to_ask(read_settings(sweep_folder), ask_numbers(sweep_folder))
    return [tuple(seal for seal in unserved if seal not in asked), *([()] * (max(1, min(workers, left)) - 1))]
