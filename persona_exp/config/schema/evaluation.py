"""Config group `evaluation`: what is measured."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Evaluation:
    """What is measured on which split, and on how many items: fixed caps, stated beside every figure."""

    split: str = "test"
    """The held-out split that is measured."""
    likelihood_items: int = 100
    """The most true replies that are scored."""
    generated_items: int = 24
    """The most lines that the model answers itself."""
    max_new_tokens: int = 64
    """The most tokens of such an answer."""
    max_length: int = 1024
    """Items of more tokens than this are left out and counted."""
    batch_size: int = outside(24)
    """How many items go through the model at once on a CPU, where it changes no figure; on a GPU it does nothing."""

    def __post_init__(self) -> None:
        one_of("evaluation.split", self.split, ("validation", "test"))
        positive("evaluation.likelihood_items", self.likelihood_items)
        at_least("evaluation.generated_items", self.generated_items, 0)
        positive("evaluation.max_new_tokens", self.max_new_tokens)
        at_least("evaluation.max_length", self.max_length, 16)
        positive("evaluation.batch_size", self.batch_size)
