"""The cast's CSV file: the characters of a book, listed by hand."""

import csv
from pathlib import Path

from persona_exp.corpus.cast.character import Character
from persona_exp.errors import UserError

COLUMNS = ("name", "aliases", "gender")
GENDERS = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}
YES = frozenset(("1", "true", "yes", "y", "x"))


def read_cast(path: Path, book: str | None = None) -> list[Character]:
    """Return the characters that a CSV file lists: columns name, aliases (parted by ";"), gender (M, F or something else), and if wanted
    narrator (yes) and book (a file's name: with `book` given, rows of other books are left out). One person listed for several books is
    one.

    Raise UserError if the file cannot be read, has no such columns, or a row without a name.
    """
    found: dict[str, Character] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"The cast {path} has no column {missing[0]}; its first line must name {', '.join(COLUMNS)}.")
            for row in rows:
                if book is not None and row.get("book") and Path(row["book"]).stem != Path(book).stem:
                    continue
                name = " ".join((row["name"] or "").split())
                if not name:
                    raise UserError(f"Line {rows.line_num} of the cast {path} has no name; write one or take the line out.")
                aliases = [" ".join(alias.split()) for alias in (row["aliases"] or "").split(";") if alias.strip()]
                earlier = found.get(name, Character(name))
                found[name] = Character(
                    name,
                    tuple(dict.fromkeys((*earlier.aliases, *(alias for alias in aliases if alias != name)))),
                    earlier.narrator or (row.get("narrator") or "").strip().casefold() in YES,
                    earlier.gender or GENDERS.get((row["gender"] or "").strip().casefold()),
                )
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(f"The cast {path} cannot be read; give a CSV file in UTF-8.") from None
    if not found and book is None:
        raise UserError(f"The cast {path} lists nobody; write a line for each character.")
    return list(found.values())
