"""The bundled corpus's settings, for tests."""

from pathlib import Path
from typing import Any

from persona_exp.corpus.library import BUNDLED, beside, locate
from persona_exp.dataset.build import build

BOOKS = [path.name for path in sorted((BUNDLED / "saltmere").glob("*.txt"))]
WREXHAM: dict[str, Any] = {"persona": "Tobias Wrexham", "aliases": ["Wrexham", "Mr. Wrexham"], "narrator": False}
PELL: dict[str, Any] = {"persona": "Edwin Pell", "aliases": ["Pell", "Mr. Pell"], "narrator": True}
SETTINGS: dict[str, Any] = {
    "system_prompt": "Answer in character.",
    "validation": ["09_bell.txt", "10_herring.txt"],
    "test": ["11_ferry.txt", "12_sextant.txt"],
    "split": "book",
    "validation_fraction": 0.1,
    "test_fraction": 0.2,
    "min_reply_words": 4,
    "max_reply_words": 200,
    "max_context_words": 120,
}


def build_saltmere(destination: Path, by_hand: bool = True, **changes: Any) -> dict[str, Any]:
    books = locate("bundled:saltmere", BOOKS, {}, destination)
    speakers = beside("bundled:saltmere", "gold.csv") if by_hand else None
    return build(books, destination, speakers=speakers, **{**WREXHAM, **SETTINGS, **changes})
