"""Config group `teacher`: what writes the examples that the books do not hold."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.config.schema.outside_identity import outside
from persona_exp.errors import UserError


@dataclass
class Teacher:
    """What writes the examples that the books do not hold."""

    name: str = "rules"
    """Rules without a model, any OpenAI-compatible endpoint, or a transformers model in this process."""
    model: str = ""
    """The language model that is asked."""
    base_url: str | None = None
    """The address of the endpoint (null: OpenAI's own)."""
    api_key_variable: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key, which is written nowhere (null: no key is sent)."""
    temperature: float = 0.0
    """The temperature of the answers."""
    max_output_tokens: int = 512
    """The most tokens of an answer."""
    seed: int = 0
    """The seed that the endpoint is given."""
    timeout_seconds: float = outside(120.0)
    """How long an answer is waited for."""
    retries: int = outside(5)
    """How many times a failed call is made again."""
    concurrency: int = outside(4)
    """How many calls are made at once."""
    max_total_tokens: int | None = outside(None)
    """The most tokens that are ever spent on one dataset."""
    max_cost: float | None = outside(None)
    """The most money that is ever spent on one dataset, in the currency of the prices."""
    input_price_per_million: float = outside(0.0)
    """The price of a million tokens that are sent."""
    output_price_per_million: float = outside(0.0)
    """The price of a million tokens that are answered."""

    def __post_init__(self) -> None:
        one_of("teacher.name", self.name, ("rules", "openai", "local"))
        if self.name != "rules" and not self.model.strip():
            raise UserError("teacher.model must name the language model that is to be asked.")
        at_least("teacher.temperature", self.temperature, 0)
        positive("teacher.max_output_tokens", self.max_output_tokens)
        positive("teacher.timeout_seconds", self.timeout_seconds)
        at_least("teacher.retries", self.retries, 0)
        positive("teacher.concurrency", self.concurrency)
        if self.max_total_tokens is not None:
            positive("teacher.max_total_tokens", self.max_total_tokens)
        if self.max_cost is not None:
            positive("teacher.max_cost", self.max_cost)
        at_least("teacher.input_price_per_million", self.input_price_per_million, 0)
        at_least("teacher.output_price_per_million", self.output_price_per_million, 0)
