"""One answer of a language model, and what every language model among the teachers can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

from persona_exp.teacher.token_and_money_budget import Budget

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Completion:
    """What a model wrote. `finish`: why it ended ("stop", "length", "content_filter"); tokens are None where nobody counted."""

    text: str
    finish: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class LanguageModel(Protocol):
    """A teacher that completes conversations; its answers are worth keeping and have a price."""

    max_output_tokens: int

    @property
    def name(self) -> str:
        """The name in the configuration."""

    def settings(self) -> dict[str, Any]:
        """Return what, with the conversation, decides its answer: the same settings and conversation are never sent twice."""

    def identity(self) -> dict[str, Any]:
        """Return `settings` and the prompts: what decides the examples it writes."""

    def complete(self, messages: Messages, budget: Budget, stop: Event) -> Completion:
        """Return its answer. Reserve every attempt from `budget` before it is made; make no new one once `stop` is set."""
