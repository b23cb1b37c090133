"""Config group `evaluation`: what is measured."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Evaluation:
    """What is measured on which split, and on how many items: fixed caps, stated beside every figure.

    `batch_size` is how many items of a trial go through the model at once on a CPU, where it changes no figure. On a GPU, where it would,
    it does nothing: batches there are of a size that belongs to how evaluation works.
    """

    split: str = "test"
    likelihood_items: int = 100
    generated_items: int = 24
    max_new_tokens: int = 64
    max_length: int = 1024
    batch_size: int = outside(24)

    def __post_init__(self) -> None:
        one_of("evaluation.split", self.split, ("validation", "test"))
        positive("evaluation.likelihood_items", self.likelihood_items)
        at_least("evaluation.generated_items", self.generated_items, 0)
        positive("evaluation.max_new_tokens", self.max_new_tokens)
        at_least("evaluation.max_length", self.max_length, 16)
        positive("evaluation.batch_size", self.batch_size)
