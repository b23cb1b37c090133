"""Config group `data`: how books become examples."""

from dataclasses import dataclass, field

from persona_exp.config.range_checks import at_least, between, one_of, positive
from persona_exp.errors import UserError

# The kinds of examples, as dataset.training_example lists them.
MIX_KINDS = ("dialogue", "narrative", "qa", "transformed", "hypothetical", "contrast", "general", "identity")


@dataclass
class Mix:
    """Weight of each kind of example: 1 takes all that there are, 0.5 half, 0 none, 2 each twice.

    `books` (file names without their ending) and `personas` weigh what comes from one source, 1 unless set: an example's
    weight is the product of its three.
    """

    dialogue: float = 1.0
    narrative: float = 0.0
    qa: float = 0.0
    transformed: float = 0.0
    hypothetical: float = 0.0
    contrast: float = 0.0
    general: float = 0.0
    identity: float = 0.0
    books: dict[str, float] = field(default_factory=dict)
    personas: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in MIX_KINDS:
            at_least(f"data.mix.{kind}", getattr(self, kind), 0)
        for name in ("books", "personas"):
            for source, weight in getattr(self, name).items():
                at_least(f"data.mix.{name}.{source}", weight, 0)


@dataclass
class Data:
    """How books become examples, and how many of each kind go in.

    `split` is `book` (the corpus says which books validate and test) or `chapter` (the last chapters of each book do, by fraction).
    `passages` are `paragraphs` (whole ones, about `passage_words` words) or `fixed` (`chunk_characters` with `chunk_overlap`, as published
    systems cut them). A reply of fewer than `min_reply_words` words teaches no voice. `kinds` are the kinds of examples that are made at
    all. `system_prompt` is `simple` or `contextual` (with persona.contexts). `size` fixes the number of training examples, so that mixes
    compare at equal size; `seed` draws them.
    """

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
    kinds: list[str] = field(default_factory=lambda: list(MIX_KINDS))
    system_prompt: str = "simple"
    mix: Mix = field(default_factory=Mix)
    size: int | None = None
    seed: int = 0

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
