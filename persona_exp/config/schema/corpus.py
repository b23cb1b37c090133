"""Config group `corpus`: which books are read."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import between, one_of


@dataclass
class Gutenberg:
    """Where Project Gutenberg keeps a book: its ebook number and the SHA-256 of its UTF-8 text file, null where any edition will do."""

    id: int = MISSING
    sha256: str | None = None


@dataclass
class Corpus:
    """Which books are read. `books`, `validation`, `test` and `holdout` are file names inside `dir`; books in no split list train.

    `dir` is a folder, "bundled:NAME" for a collection that comes with the package, or null to download the books in `gutenberg`.
    No teacher ever sees a book of `holdout`. `speakers` names a CSV file in `dir` that says by hand who speaks, `cast` one that lists the
    characters (null: both found in the text). `attribution` is `rules`, or `teacher` for a language model's word on who speaks.
    Speech of which that is less sure than `min_confidence` is not trained on.
    """

    name: str = MISSING
    dir: str | None = None
    books: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    holdout: list[str] = field(default_factory=list)
    speakers: str | None = None
    cast: str | None = None
    attribution: str = "rules"
    min_confidence: float = 0.88
    gutenberg: dict[str, Gutenberg] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("corpus.attribution", self.attribution, ("rules", "teacher"))
        between("corpus.min_confidence", self.min_confidence, 0, 1)
