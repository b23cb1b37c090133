"""The name of a sweep's folder: the one that a person gives, or else a slug of what is swept and a hash of what is measured."""

import re
from collections.abc import Sequence
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.damaged_records import parsed_json
from persona_exp.errors import UserError

LONGEST_SLUG = 80
# In the folder of a named sweep: which trials have the name.
ASKED = "asked.json"


def sweep_name(arguments: Sequence[str], ids: Sequence[str]) -> str:
    """Return a readable slug of the overrides and eight hex digits of the evaluations asked for: the same command gives the same name."""
    return "-".join(filter(None, [_slug(arguments), asked_digest(ids)]))


def asked_digest(ids: Sequence[str]) -> str:
    """Return eight hex digits of what a sweep asks for, whatever the order."""
    return atomic_files.digest(sorted(ids))[:8]


def begun(runs: Path, name: str | None, arguments: Sequence[str]) -> bool:
    """Return whether a sweep of this name, or over these overrides, is there. Which trials it is of, only sealing shows."""
    if name is not None:
        return (runs / "sweeps" / name).is_dir()
    return any(path.name.rpartition("-")[0] == _slug(arguments) for path in (runs / "sweeps").glob("*"))


def refuse_taken(folder: Path, asked: str) -> None:
    """Raise UserError where `folder`, named by a person, is that of a sweep which asks for something else than `asked`, or of a search."""
    try:
        before = parsed_json((folder / ASKED).read_bytes())["asked"]
    except FileNotFoundError:
        before = "" if (folder / "sweep.yaml").exists() or (folder / "search.json").exists() else asked
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / ASKED} is damaged: give another sweep.name, or remove that file where {folder.name} is this sweep."
        ) from None
    if before != asked:
        raise UserError(
            f"sweep.name={folder.name} is taken by another sweep (`persona-exp status {folder.name}` shows it): give another name."
        )


def take(folder: Path, asked: str) -> None:
    """Give the name of `folder` to the sweep that asks for `asked`; the first of several launchers has it. Raise UserError for others."""
    refuse_taken(folder, asked)
    atomic_files.create_text(folder / ASKED, atomic_files.canonical_json({"asked": asked}) + "\n")
    refuse_taken(folder, asked)


def _slug(arguments: Sequence[str]) -> str:
    slug = ",".join(argument.removeprefix("+sweeps=") for argument in arguments if "/" not in argument)
    return re.sub(r"[^A-Za-z0-9._=,+-]+", "_", slug)[:LONGEST_SLUG].strip("_,")
