"""A recipe: all that decides a dataset besides the books, and the dataset's id made from both."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from persona_exp.corpus.speakers import Character
from persona_exp.dataset.audit import AUDIT_VERSION
from persona_exp.dataset.example import KINDS
from persona_exp.files import digest

# Raise by one whenever the same input gives other examples; tests/dataset/test_golden.py fails until then.
DATA_VERSION = 2
PRONOUN_OF = {"male": "he", "female": "she"}


@dataclass(frozen=True)
class Persona:
    """Who speaks. `aliases` are the other names the books use; `narrator`: the narration's "I".

    `pronoun` is "he", "she", "they" or None (told from the text); `facts` are what identity questions ask (occupation, home, companion);
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
        """The persona as somebody whom the corpus may find speaking."""
        gender = {pronoun: gender for gender, pronoun in PRONOUN_OF.items()}.get(self.pronoun or "")
        return Character(self.name, self.aliases, self.narrator, gender)

    def prompt(self, contextual: bool, book: str, chapter: int) -> str:
        """The system prompt in a chapter of a book: the plain one, with the context of the place behind it if `contextual`."""
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


# What a recipe reads only for one choice of another setting; elsewhere it is no part of the identity.
READ_ONLY_FOR = {
    "validation": ("split", "book"),
    "test": ("split", "book"),
    "validation_fraction": ("split", "chapter"),
    "test_fraction": ("split", "chapter"),
    "passage_words": ("passages", "paragraphs"),
    "chunk_characters": ("passages", "fixed"),
    "chunk_overlap": ("passages", "fixed"),
}
UNORDERED = ("validation", "test", "holdout", "kinds")


def recipe_fields(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, without the settings that it does not read and the order that does not matter."""
    what = asdict(recipe)
    for name, (setting, value) in READ_ONLY_FOR.items():
        if what[setting] != value:
            del what[name]
    for name in UNORDERED:
        if name in what:
            what[name] = sorted(what[name])
    for persona in what["personas"]:
        if not recipe.contextual:
            del persona["contexts"]
    return what


def data_id(
    recipe: Recipe, books: Mapping[str, str], *, teacher: Mapping[str, Any], speakers: str | None = None, cast: str | None = None
) -> str:
    """The dataset's id (12 hex digits), known before it is built.

    `books` maps each file name to its SHA-256; `speakers` and `cast` are those of the files of speakers and of characters given by hand,
    if there are any; `teacher` says what changes its answers.
    """
    what = {"version": [DATA_VERSION, AUDIT_VERSION], "books": dict(books), "speakers": speakers, "cast": cast, "teacher": dict(teacher)}
    return digest({**what, **recipe_fields(recipe)})[:12]
