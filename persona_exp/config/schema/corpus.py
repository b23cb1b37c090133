"""Config group `corpus`: which books are read."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import between, one_of


@dataclass
class Gutenberg:
    """Where Project Gutenberg keeps a book."""

    id: int = MISSING
    """The ebook number."""
    sha256: str | None = None
    """The SHA-256 of the UTF-8 text file (null: any edition will do)."""


@dataclass
class Corpus:
    """Which books are read."""

    name: str = MISSING
    """The name of the corpus."""
    dir: str | None = None
    """A folder or a book, "bundled:NAME" for a collection of the package, or null to download `corpus.gutenberg`."""
    books: list[str] = field(default_factory=list)
    """The books' file names inside `corpus.dir`; none means all that are there."""
    validation: list[str] = field(default_factory=list)
    """The books of the validation split; books in no split train."""
    test: list[str] = field(default_factory=list)
    """The books of the test split."""
    holdout: list[str] = field(default_factory=list)
    """Books that no teacher ever sees."""
    speakers: str | None = None
    """A CSV file in `corpus.dir` that says by hand who speaks (null: found in the text)."""
    cast: str | None = None
    """A CSV file in `corpus.dir` that lists the characters (null: found in the text)."""
    attribution: str = "rules"
    """Who decides who speaks: the rules, or a language model."""
    min_confidence: float = 0.88
    """Speech whose speaker is less sure than this is not trained on."""
    gutenberg: dict[str, Gutenberg] = field(default_factory=dict)
    """Where Project Gutenberg keeps each book: its number and checksum."""

    def __post_init__(self) -> None:
        one_of("corpus.attribution", self.attribution, ("rules", "teacher"))
        between("corpus.min_confidence", self.min_confidence, 0, 1)
