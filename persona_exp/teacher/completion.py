"""One answer of a language model, and what every language model among the teachers can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol, runtime_checkable

from persona_exp.teacher.budget import Budget
from persona_exp.teacher.request import Draft, Request

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Completion:
    """What a model wrote. `finish`: why it ended ("stop", "length", "content_filter"); tokens are None where nobody counted."""

    text: str
    finish: str
    input_tokens: int | None = None
    output_tokens: int | None = None


@runtime_checkable
class LanguageModel(Protocol):
    """A teacher that completes conversations; its answers are worth keeping and have a price."""

    max_output_tokens: int

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks it can write."""

    def drafts(self, request: Request) -> tuple[Draft, ...]:
        """Drafts for one request, neither kept nor limited."""

    def settings(self) -> dict[str, Any]:
        """What, with the conversation, decides its answer: the same settings and conversation are never asked twice."""

    def identity(self) -> dict[str, Any]:
        """`settings` and the prompts: what decides the examples it writes."""

    def complete(self, messages: Messages, budget: Budget, stop: Event) -> Completion:
        """Its answer. Every attempt is reserved from `budget` before it is made; no new attempt is made once `stop` is set."""
