"""Files that hold books: which of a folder's, and their bytes, read without waiting for a pipe or a device."""

import os
import stat
from pathlib import Path

from persona_exp.errors import UserError

ENDINGS = (".txt", ".docx", ".epub", ".pdf")


def book_files(folder: Path) -> list[Path]:
    """Return the book files (txt, docx, epub, pdf) in `folder`, by name, hidden ones left out. Raise UserError if it is no folder."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        raise UserError(f"{folder} is not a folder that can be read; give the folder that holds the books.") from None
    return [path for path in inside if path.suffix.lower() in ENDINGS and not path.name.startswith((".", "~$")) and path.is_file()]


def file_size(path: Path) -> int:
    """Return the size in bytes of the regular file at `path`. Raise UserError if it is missing, no file, not readable, or empty."""
    try:
        found = os.stat(path)  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            raise UserError(f"The book {path} is a folder; give a file in it.")
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"The book {path} is a pipe or a device, not a file; give a file.")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UserError(f"The book {path} does not exist; correct its path.") from None
    except PermissionError:
        raise UserError(f"The book {path} may not be read; give this user permission to read it.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"The book {path} cannot be read ({error}); give another file.") from None
    if found.st_size == 0:
        raise UserError(f"The book {path} is empty; give a text file.")
    return found.st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """Return all bytes of the file at `path`. Raise UserError as `file_size` does, or if it has more than `limit` bytes."""
    size = file_size(path)
    if size > limit:
        raise UserError(f"The book {path} is {size >> 20} MiB, more than any novel ({limit >> 20} MiB); give one file a book.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The book {path} cannot be read ({error}); give another file.") from None
