"""The bundled collection, for tests."""

from pathlib import Path

from persona_exp.corpus.book_locations import BUNDLED
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.speaker_attribution.speaker_annotations import read_speaker_annotations

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
    return read_speaker_annotations(FOLDER / "gold.csv")[book]
