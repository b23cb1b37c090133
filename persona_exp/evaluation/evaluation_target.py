"""What an evaluation measures, under which condition, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By condition, whether the persona's system prompt stands before the model, beside the passage.
CONDITIONS: Mapping[str, bool] = {"adapter": True, "base": False, "base+system": True}


@dataclass(frozen=True)
class EvaluationSettings:
    """Which held-out items, how many, how they are rendered, and what fits into a batch. Targets with equal settings share batches.

    Scored are `likelihood_items` replies, answered `generated_items` prompts; the same for all with the same examples.
    """

    split: str
    max_length: int
    system_role: str
    end_of_turn: str
    likelihood_items: int
    generated_items: int
    max_new_tokens: int
    batch_size: int


@dataclass(frozen=True)
class EvaluationTarget:
    """A model, as one trial has it, and the held-out `examples` (`id`, `book`, `chapter`, `messages`: system, user, assistant).

    `condition` is one of CONDITIONS; `base` drops the system message. The results go to the staging folder `destination`.
    `slot` is that of its adapter, where the model has several.
    """

    eval_id: str
    trial_id: str
    condition: str
    examples: Sequence[Mapping[str, Any]]
    destination: Path
    slot: int = 0
