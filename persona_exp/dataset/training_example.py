"""A training example: one conversation and where it comes from."""

from dataclasses import dataclass

Message = dict[str, str]
# In the order in which cards and tables list them.
KINDS = ("dialogue", "narrative", "qa", "transformed", "hypothetical", "contrast", "general", "identity")
# What rests on who speaks: their confidence is the attribution's.
ATTRIBUTED_KINDS = ("dialogue", "transformed", "hypothetical")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """`messages` are {"role", "content"}: system, user, assistant. `book` is a file name without its ending, `chapter` counts from 1,
    `passage` is a `Passage.id`. `rule` and `confidence` tell how the reply came to be the persona's: the rule that attributed it, or the
    teacher that wrote it. What comes from no book has its kind for a book and chapter 0."""

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
    """Return one turn of conversation; no system turn where the prompt is empty."""
    turns = [("system", system_prompt), ("user", user), ("assistant", assistant)]
    return [{"role": role, "content": content} for role, content in turns if content or role != "system"]
