"""Which examples an evaluation measures when a split has more of them than its cap."""

from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.atomic_files import digest


def sample_items(examples: Sequence[Mapping[str, Any]], cap: int) -> list[Mapping[str, Any]]:
    """Return at most `cap` of `examples`, in their own order.

    Those whose user and assistant turns have the smallest SHA-256 are taken: a draw without a seed, the same for every trial,
    condition, system prompt and order of the file; a smaller cap takes a part of what a larger one takes.
    """
    ranked = sorted(range(len(examples)), key=lambda index: (_rank(examples[index]), index))
    return [examples[index] for index in sorted(ranked[:cap])]


def _rank(example: Mapping[str, Any]) -> str:
    return digest([[message["role"], message["content"]] for message in example["messages"] if message["role"] != "system"])
