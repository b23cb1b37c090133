"""Where a corpus keeps its books: a folder, the bundled collection, or Project Gutenberg."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from persona_exp.corpus.gutenberg import download
from persona_exp.corpus.reading.book_files import book_files
from persona_exp.errors import UserError

BUNDLED = Path(__file__).parent / "bundled"


def locate_books(
    directory: str | None, books: Sequence[str], gutenberg: Mapping[str, tuple[int, str | None]], cache: Path
) -> dict[str, Path]:
    """Return the path of each of `books`, by its file name, in order; of all books of the folder where `books` is empty.

    `directory` is a folder, a book file, "bundled:NAME" for a collection that comes with the package, or None: then the books are
    downloaded to `cache` by their Gutenberg number and SHA-256 (None where it is not known), once. Raise UserError if there are
    no books, or a folder or file is missing.
    """
    if directory is not None and Path(directory).expanduser().is_file():
        path = Path(directory).expanduser()
        if list(books) not in ([], [path.name]):
            raise UserError(f"corpus.dir={directory} is one file, and corpus.books names others; give the folder, or corpus.books=[].")
        return {path.name: path}
    if not books and directory is not None:
        found = book_files(_folder(directory))
        if not found:
            raise UserError(f"corpus.dir={directory} holds no book; put txt, docx, epub or pdf files there.")
        return {path.name: path for path in found}
    if not books:
        raise UserError("corpus.books names no book; give corpus.dir=FOLDER, and corpus.books=[novel.txt] to read some of it alone.")
    if len(set(books)) < len(books):
        raise UserError("corpus.books names a book twice; list each file once.")
    if directory is None:
        unknown = [name for name in books if name not in gutenberg]
        if unknown:
            raise UserError(f"There is no place to read {unknown[0]} from; give the folder it is in as corpus.dir=PATH.")
        return {name: download(gutenberg[name][0], cache / str(gutenberg[name][0]) / name, gutenberg[name][1]) for name in books}
    folder = _folder(directory)
    missing = [name for name in books if not (folder / name).is_file()]
    if missing:
        raise UserError(f"corpus.dir={directory} holds no file {missing[0]}; put it there or leave it out of corpus.books.")
    return {name: folder / name for name in books}


def file_beside_books(directory: str | None, name: str | None, setting: str = "speakers") -> Path | None:
    """Return the path of the file `name` (of corpus.`setting`) beside the books; None for no name. Raise UserError if it is not there."""
    if name is None:
        return None
    if directory is None:
        raise UserError(f"corpus.{setting} is a file in corpus.dir, which is not given; give it, or set corpus.{setting}=null.")
    path = _folder(directory) / name
    if not path.is_file():
        raise UserError(f"corpus.dir={directory} holds no file {name}; put it there or set corpus.{setting}=null.")
    return path


def _folder(directory: str) -> Path:
    folder = BUNDLED / directory.removeprefix("bundled:") if directory.startswith("bundled:") else Path(directory).expanduser()
    folder = folder.parent if folder.is_file() else folder
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"corpus.dir={directory} {what}; give the folder that holds the books, or one book file.")
    return folder
