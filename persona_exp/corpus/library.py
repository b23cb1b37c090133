"""Where a corpus keeps its books: a folder, the bundled collection, or Project Gutenberg."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from persona_exp.corpus.gutenberg import download
from persona_exp.errors import UserError

BUNDLED = Path(__file__).parent / "bundled"


def locate(directory: str | None, books: Sequence[str], gutenberg: Mapping[str, tuple[int, str | None]], cache: Path) -> dict[str, Path]:
    """The path of each of `books`, by its file name, in order.

    `directory` is a folder, "bundled:NAME" for a collection that comes with the package, or None: then the books are downloaded to
    `cache` by their Gutenberg number and SHA-256 (None where it is not known), once. UserError: no books, a folder or file missing.
    """
    if not books:
        raise UserError("corpus.books names no book; list the file names to read, as corpus.books=[novel.txt].")
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


def beside(directory: str | None, name: str | None) -> Path | None:
    """The path of the file `name` (corpus.speakers) in the corpus's folder; None where there is no name. UserError: no such file."""
    if name is None:
        return None
    if directory is None:
        raise UserError("corpus.speakers is a file in corpus.dir, which is not given; give it, or set corpus.speakers=null.")
    path = _folder(directory) / name
    if not path.is_file():
        raise UserError(f"corpus.dir={directory} holds no file {name}; put it there or set corpus.speakers=null.")
    return path


def _folder(directory: str) -> Path:
    folder = BUNDLED / directory.removeprefix("bundled:") if directory.startswith("bundled:") else Path(directory).expanduser()
    if not folder.is_dir():
        raise UserError(f"corpus.dir={directory} is not a folder; give the folder that holds the books.")
    return folder
