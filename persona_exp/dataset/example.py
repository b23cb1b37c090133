"""An example: one training conversation and where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.corpus.speakers import Character

Message = dict[str, str]
KINDS = ("dialogue", "narrative")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """`messages` are {"role", "content"}: system, user, assistant. `book` is a file name without its ending, `chapter` counts from 1,
    `passage` is a `Passage.id`. `rule` and `confidence` are those that gave the reply its speaker."""

    id: str
    kind: str
    persona: str
    book: str
    chapter: int
    passage: str
    split: str
    rule: str
    confidence: float
    messages: list[Message]

    @property
    def reply(self) -> str:
        """What the persona says."""
        return self.messages[-1]["content"]


def messages(system_prompt: str, user: str, assistant: str) -> list[Message]:
    """One turn of conversation; no system turn where the prompt is empty."""
    turns = [("system", system_prompt), ("user", user), ("assistant", assistant)]
    return [{"role": role, "content": content} for role, content in turns if content or role != "system"]


def character(persona: str, aliases: Sequence[str], narrator: bool) -> Character:
    """The persona as somebody whom the corpus may find speaking."""
    return Character(persona, tuple(aliases), narrator)
