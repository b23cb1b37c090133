"""Examples on disk: one JSON object a line."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from persona_exp.dataset.example import Example
from persona_exp.errors import UserError
from persona_exp.files import canonical_json


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write `examples` in order; equal examples give equal bytes."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(canonical_json(asdict(example)) + "\n")


def read_examples(path: Path) -> list[Example]:
    """The examples of a file that `write_examples` wrote. UserError: missing, or a line that is not an example.

    `formats.read` reads what other programs write.
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
