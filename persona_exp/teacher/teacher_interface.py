"""The interface of all teachers: whose voice, the request, and the draft that answers it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """Whose voice an answer is in.

    `pronoun` is "he", "she" or "they"; `narrator`: the "I" of the narration is this persona; `evasions` are ways in which this persona
    says that it does not know.
    """

    name: str
    aliases: tuple[str, ...]
    pronoun: str
    narrator: bool
    period: str
    system_prompt: str
    evasions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One thing to ask about one passage.

    `task` is one of: "narrative" (the passage as the persona tells it), "qa" (`count` questions and answers from the passage),
    "transformed" (`user` and `reply` are a real exchange: the same content in other words), "hypothetical" (`reply` is a real utterance: a
    new scene in its tone), "contrast" (a question that the persona cannot answer: `about` is "absent" where it was not there, "other"
    where only another person knows what the passage tells, else the name of a later invention, without a passage).

    `passage` is all that an answer may draw on; `narrator` is who says "I" in its narration, when it is not the persona; `others` are the
    names of the other characters.
    """

    task: str
    voice: Voice
    passage: str
    narrator: str | None
    others: tuple[str, ...]
    user: str = ""
    reply: str = ""
    about: str = ""
    count: int = 1


@dataclass(frozen=True)
class Draft:
    """One exchange that a teacher proposes, not yet checked."""

    user: str
    assistant: str
