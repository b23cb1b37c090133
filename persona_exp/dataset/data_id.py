"""The id of a dataset, from all that decides it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from persona_exp.atomic_files import digest
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.decontamination import AUDIT_VERSION

# Raise by one whenever the same input gives other examples; tests/dataset/test_golden.py fails until then.
DATA_VERSION = 2
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
    """Return the recipe as plain data, without the settings that it does not read and the order that does not matter."""
    settings = asdict(recipe)
    for name, (setting, value) in READ_ONLY_FOR.items():
        if settings[setting] != value:
            del settings[name]
    for name in UNORDERED:
        if name in settings:
            settings[name] = sorted(settings[name])
    for persona in settings["personas"]:
        if not recipe.contextual:
            del persona["contexts"]
    return settings


def data_id(
    recipe: Recipe, books: Mapping[str, str], *, teacher: Mapping[str, Any], speakers: str | None = None, cast: str | None = None
) -> str:
    """Return the dataset's id (12 hex digits), known before it is built.

    `books` maps each file name to its SHA-256; `speakers` and `cast` are those of the files of speakers and of characters given by hand,
    if there are any; `teacher` is its identity: what changes its answers.
    """
    inputs = {"version": [DATA_VERSION, AUDIT_VERSION], "books": dict(books), "speakers": speakers, "cast": cast, "teacher": dict(teacher)}
    return digest({**inputs, **recipe_fields(recipe)})[:12]
