"""The bundled corpus's settings, for tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from persona_exp.corpus.book_locations import BUNDLED, file_beside_books, locate_books
from persona_exp.dataset.build import build_dataset
from persona_exp.dataset.dataset_recipe import Persona, Recipe

BOOKS = [path.name for path in sorted((BUNDLED / "saltmere").glob("*.txt"))]
WREXHAM = Persona("Tobias Wrexham", ("Wrexham", "Mr. Wrexham"), period="England in the 1880s", system_prompt="Answer in character.")
PELL = replace(WREXHAM, name="Edwin Pell", aliases=("Pell", "Mr. Pell"), narrator=True)
RECIPE = Recipe(
    personas=(WREXHAM,),
    validation=("09_bell.txt", "10_herring.txt"),
    test=("11_ferry.txt", "12_sextant.txt"),
    kinds=("dialogue", "narrative"),
)


def build_saltmere(destination: Path, recipe: Recipe = RECIPE, *, by_hand: bool = True, workers: int = 1) -> dict[str, Any]:
    books = locate_books("bundled:saltmere", BOOKS, {}, destination)
    speakers = file_beside_books("bundled:saltmere", "gold.csv") if by_hand else None
    return build_dataset(books, destination, recipe, speakers=speakers, workers=workers)
