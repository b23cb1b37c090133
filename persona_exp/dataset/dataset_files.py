"""The files of a built dataset: its manifest, and its examples, one JSON object a line."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import canonical_json, file_digest
from persona_exp.dataset.training_example import Example
from persona_exp.errors import UserError

# Where a build lists its passages.
PASSAGES_FILE = "passages.jsonl"


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write `examples` in order; equal examples give equal bytes."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(canonical_json(asdict(example)) + "\n")


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a file that `write_examples` wrote. Raise UserError if it is missing or a line is not an example.

    `conversation_formats` reads the files of other programs.
    """
    if not path.is_file():
        raise UserError(f"The dataset file {path} does not exist; build the dataset again.")
    examples = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                example = Example(**json.loads(line.decode("utf-8")))
                if not all(isinstance(turn["content"], str) and isinstance(turn["role"], str) for turn in example.messages):
                    raise TypeError
            except (ValueError, TypeError, KeyError, RecursionError):
                raise UserError(f"Line {number} of {path} is not an example; delete the folder and build the dataset again.") from None
            examples.append(example)
    return examples


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a built dataset. Raise UserError if there is none."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} is not a built dataset; delete it and build it again.") from None
    return manifest


def read_split(folder: Path, split: str) -> list[Example]:
    """Return the examples of one split of a built dataset. Raise UserError if the file is not the one that was built."""
    path = folder / f"{split}.jsonl"
    expected = read_manifest(folder)["files"].get(path.name)
    if not path.is_file() or file_digest(path) != expected:
        raise UserError(f"{path} has changed since it was built; delete {folder} and build it again.")
    return read_examples(path)
