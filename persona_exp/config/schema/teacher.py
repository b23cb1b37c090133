"""Config group `teacher`: what writes the examples that the books do not hold."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, one_of, positive
from persona_exp.config.schema.outside_identity import outside
from persona_exp.errors import UserError


@dataclass
class Teacher:
    """What writes the examples that the books do not hold: `rules` (offline), `openai` (any OpenAI-compatible endpoint) or `local` (a
    transformers model in this process).

    `api_key_variable` names the environment variable that holds the key (null: none is sent), which itself is written nowhere. No more
    than `max_total_tokens` tokens and `max_cost` (in the currency of the two prices) are ever spent on one dataset.
    """

    name: str = "rules"
    model: str = ""
    base_url: str | None = None
    api_key_variable: str | None = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_output_tokens: int = 512
    seed: int = 0
    timeout_seconds: float = outside(120.0)
    retries: int = outside(5)
    concurrency: int = outside(4)
    max_total_tokens: int | None = outside(None)
    max_cost: float | None = outside(None)
    input_price_per_million: float = outside(0.0)
    output_price_per_million: float = outside(0.0)

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
