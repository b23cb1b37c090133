"""What an evaluation measures, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Which held-out items, how many, how they are rendered, and what fits into a batch. Subjects that share these are measured together.

    Scored are `likelihood_items` replies, spoken `generated_items`; both are the same for every subject that has the same examples.
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
class Subject:
    """A model, as one trial has it, before the held-out `examples` (`id`, `book`, `chapter`, `messages`: system, user, assistant).

    `condition` is `adapter`, `base+system` or `base`, which drops the system message. The results go to the staging folder `destination`.
    `lane` is its adapter, where the model has several.
    """

    eval_id: str
    trial_id: str
    condition: str
    examples: Sequence[Mapping[str, Any]]
    destination: Path
    lane: int = 0
