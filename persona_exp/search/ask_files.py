"""The asks of a search: `asks/000017.json` in its sweep's folder, each created once, by exclusive link, and never written again.

They are the study: a process that reads them has all that was ever asked. No lock, no file with two writers.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.trial.folder_ids import is_id, is_seal_name

FOLDER = "asks"
NAME = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class AskedTrial:
    """A trial of an ask: under which seal (its file's name), and the evaluation that its objective is read from."""

    trial_id: str
    seal: str
    eval_id: str | None

    @property
    def path(self) -> str:
        """The seal as a path relative to runs/trials."""
        return f"{self.trial_id}/seals/{self.seal}"


@dataclass(frozen=True)
class Ask:
    """What was suggested as number `number`: `overrides` by setting as on a command line, `params` as the sampler has them.

    `trials` are one for each seed. `attributes` are the sampler's own of this number, `study_attributes` those of the study after it;
    `custom` has the distributions (as JSON) of what hydra.sweeper.custom_search_space added, `constraints` by how much each is broken.
    `known` says which asks had a result then, as in `0-4,7`; `by` who asked, where and when. `refused` says why it is never run.
    """

    number: int
    overrides: dict[str, str]
    params: dict[str, Any]
    trials: tuple[AskedTrial, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    study_attributes: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    known: str = ""
    by: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None

    @property
    def title(self) -> str:
        """The ask as a person would name it."""
        return settings_text(self.overrides)


def settings_text(overrides: Mapping[str, str]) -> str:
    """Return settings as on a command line, numbers with four figures."""
    return " ".join(f"{key}={short_value(text)}" for key, text in overrides.items())


def short_value(text: str) -> str:
    """Return a setting's value with four figures where it is a number with a point."""
    try:
        return figure(float(text)) if "." in text or "e" in text else text
    except ValueError:
        return text


def figure(value: float) -> str:
    """Return four figures, as many as tell trials apart."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def ask_path(sweep_folder: Path, number: int) -> Path:
    """Return the file of an ask."""
    return sweep_folder / FOLDER / f"{number:06}.json"


def create_ask(sweep_folder: Path, ask: Ask) -> bool:
    """Create the file of `ask`; return False where another was first."""
    text = json.dumps(asdict(ask), ensure_ascii=False, allow_nan=False) + "\n"
    return atomic_files.create_text(ask_path(sweep_folder, ask.number), text)


def ask_numbers(sweep_folder: Path) -> list[int]:
    """Return the numbers that have a file, ascending. What is named otherwise is no ask, nor are files far ahead that cannot be read."""
    try:
        names = os.listdir(sweep_folder / FOLDER)  # noqa: PTH208 (ten thousand names must not become paths)
    except (FileNotFoundError, NotADirectoryError):
        return []
    numbers = sorted(int(found[1]) for name in names if (found := NAME.fullmatch(name)))
    while (gap := _last_gap(numbers)) is not None and not any(read_ask(sweep_folder, number) for number in numbers[gap:]):
        numbers = numbers[:gap]
    return numbers


def _last_gap(numbers: Sequence[int]) -> int | None:
    """Return the place of the last number before which one is missing; None where none is."""
    if not numbers or numbers[-1] == len(numbers) - 1:
        return None
    return next((place for place in range(len(numbers) - 1, 0, -1) if numbers[place] != numbers[place - 1] + 1), 0)


# A worker asks for them every few seconds, and they change only by a person's hand: parsed once, each with the state of its file.
_read: dict[Path, tuple[tuple[int, int, int], Ask]] = {}


def read_ask(sweep_folder: Path, number: int) -> Ask | None:
    """Return the ask of that number; None where its file is torn or is none of ours. Raise OSError where it cannot be read."""
    path = ask_path(sweep_folder.absolute(), number)
    found = path.stat()
    state = (found.st_ino, found.st_size, found.st_mtime_ns)
    if path in _read and _read[path][0] == state:
        return _read[path][1]
    try:
        written = parsed_json(record_bytes(path))
        trials = tuple(AskedTrial(**one) for one in written["trials"])
        ask = Ask(**{**written, "trials": trials})
    except (ValueError, KeyError, TypeError, IsADirectoryError):
        return None
    if ask.number != number or not _whole(ask):
        return None
    _read[path] = (state, ask)
    return ask


def _whole(ask: Ask) -> bool:
    """Return whether the parts of an ask are of the form that is written."""
    objects = (ask.params, ask.attributes, ask.study_attributes, ask.custom, ask.constraints, ask.by, ask.overrides)
    texts = (*ask.overrides.values(), ask.known) if isinstance(ask.overrides, dict) else (None,)
    return (
        all(isinstance(one, dict) for one in objects)
        and all(isinstance(one, str) for one in texts)
        and isinstance(ask.refused, str | None)
        and all(is_id(one.trial_id) and is_seal_name(one.seal) and (one.eval_id is None or is_id(one.eval_id)) for one in ask.trials)
    )


def read_asks(sweep_folder: Path) -> list[Ask]:
    """Return all asks that can be read, by number."""
    return [ask for number in ask_numbers(sweep_folder) if (ask := read_ask(sweep_folder, number)) is not None]


def ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as in `0-4,7`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def numbers_of(text: str) -> Sequence[int]:
    """Return what `ranges` made a text of."""
    parts = [part.partition("-") for part in text.split(",") if part]
    return [number for first, _, last in parts for number in range(int(first), int(last or first) + 1)]
