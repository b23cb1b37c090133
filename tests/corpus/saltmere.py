"""The bundled collection, for tests."""

from pathlib import Path

from persona_exp.corpus.library import BUNDLED
from persona_exp.corpus.quotation.given import read_given
from persona_exp.corpus.speakers import Character

FOLDER = BUNDLED / "saltmere"
CAST = (
    Character("Tobias Wrexham", ("Wrexham", "Mr. Wrexham")),
    Character("Edwin Pell", ("Pell", "Mr. Pell"), narrator=True),
    Character("Dorcas Hallam", ("Mrs. Hallam",)),
    Character("Lucius Crane", ("Crane", "Inspector Crane", "the inspector")),
)


def stories() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def gold_of(book: str) -> dict[tuple[int, int], str]:
    return read_given(FOLDER / "gold.csv")[book]
