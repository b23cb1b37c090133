"""A recipe: all that decides a dataset besides the books."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from persona_exp.corpus.cast.character import Character
from persona_exp.dataset.training_example import KINDS

PRONOUN_OF = {"male": "he", "female": "she"}


@dataclass(frozen=True)
class Persona:
    """Who speaks. `aliases` are the other names the books use; `narrator`: the narration's "I".

    `pronoun` is "he", "she", "they" or None (found in the text); `facts` are what identity questions ask (occupation, home, companion);
    `contexts` say when and in what mood the persona speaks, by book or book/chapter; `evasions` are its ways of not knowing.
    """

    name: str
    aliases: tuple[str, ...] = ()
    narrator: bool = False
    pronoun: str | None = None
    period: str = ""
    system_prompt: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    evasions: tuple[str, ...] = ()

    @property
    def character(self) -> Character:
        """The persona as a character whom the corpus may find speaking."""
        gender = {pronoun: gender for gender, pronoun in PRONOUN_OF.items()}.get(self.pronoun or "")
        return Character(self.name, self.aliases, self.narrator, gender)

    def prompt(self, contextual: bool, book: str, chapter: int) -> str:
        """Return the system prompt in a chapter of a book: the plain one, with the context of the place behind it if `contextual`."""
        context = self.contexts.get(f"{book}/{chapter}") or self.contexts.get(book) if contextual else None
        return f"{self.system_prompt} {context}" if context else self.system_prompt


@dataclass(frozen=True)
class Recipe:
    """How books become examples.

    `validation`, `test` and `holdout` are file names; no teacher sees a book of `holdout`. `passages` is "paragraphs" (whole ones, about
    `passage_words` words) or "fixed" (`chunk_characters` with `chunk_overlap`). `attribution` is "rules" or "teacher".
    """

    personas: tuple[Persona, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    holdout: tuple[str, ...] = ()
    split: str = "book"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    passages: str = "paragraphs"
    passage_words: int = 200
    chunk_characters: int = 500
    chunk_overlap: int = 50
    min_reply_words: int = 4
    max_reply_words: int = 200
    max_context_words: int = 120
    kinds: tuple[str, ...] = KINDS
    attribution: str = "rules"
    contextual: bool = False
