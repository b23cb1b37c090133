"""Which examples an evaluation looks at when a split has more of them than its cap."""

from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.files import digest


def choose(examples: Sequence[Mapping[str, Any]], cap: int) -> list[Mapping[str, Any]]:
    """At most `cap` of `examples`, in their own order.

    Those whose user and assistant turns have the smallest SHA-256 are taken: a draw without a seed, the same for every trial,
    condition, system prompt and order of the file, and a smaller cap takes a part of what a larger one does.
    """
    ranked = sorted(range(len(examples)), key=lambda index: (_rank(examples[index]), index))
    return [examples[index] for index in sorted(ranked[:cap])]


def _rank(example: Mapping[str, Any]) -> str:
    return digest([[message["role"], message["content"]] for message in example["messages"] if message["role"] != "system"])
