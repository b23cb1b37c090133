"""Config group `data`: how books become examples."""

from dataclasses import dataclass, field

from persona_exp.config.range_checks import at_least, between, one_of, positive
from persona_exp.errors import UserError

# The kinds of examples, as dataset.training_example lists them.
MIX_KINDS = ("dialogue", "narrative", "qa", "transformed", "hypothetical", "contrast", "general", "identity")


@dataclass
class Mix:
    """Weight of each kind of example: 1 takes all that there are, 0.5 half, 0 none, 2 each twice."""

    dialogue: float = 1.0
    """The weight of the persona's own words."""
    narrative: float = 0.0
    """The weight of narration about the persona."""
    qa: float = 0.0
    """The weight of questions and answers from a passage."""
    transformed: float = 0.0
    """The weight of true replies in other words."""
    hypothetical: float = 0.0
    """The weight of new scenes, which a language model writes."""
    contrast: float = 0.0
    """The weight of questions that the persona cannot know the answer to."""
    general: float = 0.0
    """The weight of ordinary assistant chat, against forgetting."""
    identity: float = 0.0
    """The weight of questions about who the persona is."""
    books: dict[str, float] = field(default_factory=dict)
    """A weight for all that comes from one book, by its file name without ending; an example's weights are multiplied."""
    personas: dict[str, float] = field(default_factory=dict)
    """A weight for all that comes from one persona, by its name."""

    def __post_init__(self) -> None:
        for kind in MIX_KINDS:
            at_least(f"data.mix.{kind}", getattr(self, kind), 0)
        for name in ("books", "personas"):
            for source, weight in getattr(self, name).items():
                at_least(f"data.mix.{name}.{source}", weight, 0)


@dataclass
class Data:
    """How books become examples, and how many of each kind go in."""

    split: str = "book"
    """Whole books validate and test, as the corpus says, or the last chapters of each book do."""
    validation_fraction: float = 0.1
    """The share of each book's chapters that validates with data.split=chapter."""
    test_fraction: float = 0.2
    """The share of each book's chapters that tests with data.split=chapter."""
    passages: str = "paragraphs"
    """Passages of whole paragraphs, or of a fixed number of characters as published systems cut them."""
    passage_words: int = 200
    """About how many words a passage of paragraphs has."""
    chunk_characters: int = 500
    """How many characters a fixed passage has."""
    chunk_overlap: int = 50
    """How many characters a fixed passage shares with the one before."""
    min_reply_words: int = 4
    """A reply of fewer words is no example: it teaches no voice."""
    max_reply_words: int = 200
    """A reply of more words is no example."""
    max_context_words: int = 120
    """How many words of what comes before a reply are kept."""
    kinds: list[str] = field(default_factory=lambda: list(MIX_KINDS))
    """The kinds of examples that are made at all, whatever their weight."""
    system_prompt: str = "simple"
    """The persona's system prompt alone, or with the place and mood of `persona.contexts` behind it."""
    mix: Mix = field(default_factory=Mix)
    """How much of each kind of example goes in."""
    size: int | None = None
    """The exact number of training examples, so that mixes compare at equal size (null: as the weights give)."""
    seed: int = 0
    """The seed of the draw of examples."""

    def __post_init__(self) -> None:
        one_of("data.split", self.split, ("book", "chapter"))
        between("data.validation_fraction", self.validation_fraction, 0, 0.5)
        between("data.test_fraction", self.test_fraction, 0, 0.5)
        one_of("data.passages", self.passages, ("paragraphs", "fixed"))
        positive("data.passage_words", self.passage_words)
        positive("data.chunk_characters", self.chunk_characters)
        between("data.chunk_overlap", self.chunk_overlap, 0, self.chunk_characters - 1)
        one_of("data.system_prompt", self.system_prompt, ("simple", "contextual"))
        for kind in self.kinds:
            one_of("data.kinds", kind, MIX_KINDS)
        for kind in MIX_KINDS:
            if getattr(self.mix, kind) > 0 and kind not in self.kinds:
                raise UserError(f"data.mix.{kind} is above 0, but data.kinds leaves {kind} out; add it there or set data.mix.{kind}=0.")
        positive("data.min_reply_words", self.min_reply_words)
        at_least("data.max_reply_words", self.max_reply_words, self.min_reply_words)
        at_least("data.max_context_words", self.max_context_words, 0)
        if self.size is not None:
            positive("data.size", self.size)
