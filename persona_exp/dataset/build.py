"""A dataset: built once, addressed by what it is made from."""

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from persona_exp.corpus.book import Book, read_book
from persona_exp.corpus.given import read_given
from persona_exp.corpus.passages import find_passages
from persona_exp.dataset.audit import audit
from persona_exp.dataset.dialogue import dialogue
from persona_exp.dataset.example import KINDS, SPLITS, Example, character
from persona_exp.dataset.jsonl import read_examples, write_examples
from persona_exp.dataset.narrative import narrative
from persona_exp.dataset.split import by_book, by_chapter, check_lists
from persona_exp.errors import UserError
from persona_exp.files import digest, file_digest, publish, write_json
from persona_exp.progress import track

# Raise by one whenever the same input gives other examples; tests/dataset/test_golden.py fails until then.
DATA_VERSION = 1


def data_id(
    books: Mapping[str, str],
    *,
    speakers: str | None = None,
    persona: str,
    aliases: Sequence[str],
    narrator: bool,
    system_prompt: str,
    validation: Sequence[str],
    test: Sequence[str],
    split: str,
    validation_fraction: float,
    test_fraction: float,
    min_reply_words: int,
    max_reply_words: int,
    max_context_words: int,
) -> str:
    """The dataset's id (12 hex digits), known before it is built: `books` maps each file name to its SHA-256, and `speakers` is that of
    the file of speakers given by hand, if there is one.

    What a way of splitting does not read is no part of it: fractions where books are split, lists where chapters are.
    """
    by_lists = {"validation": sorted(validation), "test": sorted(test)}
    by_fractions = {"validation_fraction": float(validation_fraction), "test_fraction": float(test_fraction)}
    return digest(
        {
            "version": DATA_VERSION,
            "books": dict(books),
            "speakers": speakers,
            "persona": persona,
            "aliases": sorted(aliases),
            "narrator": narrator,
            "system_prompt": system_prompt,
            "split": split,
            **(by_lists if split == "book" else by_fractions),
            "min_reply_words": min_reply_words,
            "max_reply_words": max_reply_words,
            "max_context_words": max_context_words,
        }
    )[:12]


def build(
    books: Mapping[str, Path],
    destination: Path,
    *,
    speakers: Path | None = None,
    persona: str,
    aliases: Sequence[str],
    narrator: bool,
    system_prompt: str,
    validation: Sequence[str],
    test: Sequence[str],
    split: str,
    validation_fraction: float,
    test_fraction: float,
    min_reply_words: int,
    max_reply_words: int,
    max_context_words: int,
) -> dict[str, Any]:
    """Build `destination`/{train,validation,test}.jsonl and manifest.json from `books` (file name → path), and return the manifest.

    Who speaks is told from the text, or from the file `speakers` (`corpus.given`). The same input gives the same bytes. A finished
    build is returned as it is; of two at once the first to end wins. UserError: a book that cannot be read, no quotation by the
    persona, nothing to train or to test on, or a leak.
    """
    if (destination / "manifest.json").exists():
        return read_manifest(destination)
    stems = Counter(Path(name).stem for name in books)
    if stems and stems.most_common(1)[0][1] > 1:
        raise UserError(f"Two of corpus.books are called {stems.most_common(1)[0][0]} before their ending; rename one of the files.")
    read = {name: read_book(path) for name, path in track(books.items(), "Reading books", len(books))}
    passages = {name: find_passages(book) for name, book in read.items()}
    every = [passage for of_book in passages.values() for passage in of_book]
    if split == "book":
        check_lists(list(books), validation, test)
        split_of = by_book(every, {name: book.id for name, book in read.items()}, validation, test)
    else:
        split_of = by_chapter(every, validation_fraction, test_fraction)
    given = read_given(speakers) if speakers else None
    limits = (min_reply_words, max_reply_words, max_context_words)
    cast = [character(persona, aliases, narrator)]
    examples: list[Example] = []
    left_out: Counter[str] = Counter()
    for name, book in track(read.items(), "Making examples", len(read)):
        found, counts = dialogue(
            book, passages[name], split_of, cast, None if given is None else given.get(name, {}), persona, system_prompt, *limits
        )
        examples, left_out = examples + found, left_out + counts
        if narrator:
            found, counts = narrative(book, passages[name], split_of, persona, system_prompt, *limits)
            examples, left_out = examples + found, left_out + counts
    _check(examples, persona, validation if split == "book" else (), test if split == "book" else ())
    examples, leaked = audit(examples, {passage.id: passage.text for passage in every})
    identity = data_id(
        {name: book.sha256 for name, book in read.items()},
        speakers=file_digest(speakers) if speakers else None,
        persona=persona,
        aliases=aliases,
        narrator=narrator,
        system_prompt=system_prompt,
        validation=validation,
        test=test,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        min_reply_words=min_reply_words,
        max_reply_words=max_reply_words,
        max_context_words=max_context_words,
    )
    _write(
        destination,
        [*books.values(), *filter(None, [speakers])],
        examples,
        {
            "data_id": identity,
            "DATA_VERSION": DATA_VERSION,
            "persona": persona,
            "counts": _counts(examples, read.values()),
            "left_out": dict(sorted(left_out.items())),
            "leaked": dict(sorted(leaked.items())),
            "books": {
                name: {"title": book.title, "sha256": book.sha256, "chapters": len(book.chapters), "words": len(book.text.split())}
                for name, book in read.items()
            },
        },
    )
    return read_manifest(destination)


def _check(examples: Sequence[Example], persona: str, validation: Sequence[str], test: Sequence[str]) -> None:
    if not any(example.kind == "dialogue" for example in examples):
        raise UserError(
            f"No quotation in the books is surely {persona}'s; correct persona.name and persona.aliases, or the books (speech must "
            "stand in double quotation marks)."
        )
    for split, names in (("train", ()), ("validation", validation), ("test", test)):
        if (names or split != "validation") and not any(example.split == split and example.kind == "dialogue" for example in examples):
            where = f" in {', '.join(names)}" if names else ""
            raise UserError(f"No {split} item is left{where}: {persona} is never surely quoted there; choose other books or chapters.")


def _counts(examples: Iterable[Example], books: Iterable[Book]) -> dict[str, Any]:
    counted = Counter((example.split, example.kind, example.book) for example in examples)
    return {
        split: {kind: {book.id: counted[split, kind, book.id] for book in books if counted[split, kind, book.id]} for kind in KINDS}
        for split in SPLITS
    }


def _write(destination: Path, sources: Iterable[Path], examples: Sequence[Example], manifest: dict[str, Any]) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    staged = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
    staged.mkdir()
    try:
        for split in SPLITS:
            write_examples(staged / f"{split}.jsonl", (example for example in examples if example.split == split))
        # What was read stays with what was made of it, whatever becomes of the reader's own copy.
        (staged / "books").mkdir()
        for source in sources:
            shutil.copyfile(source, staged / "books" / source.name)
        digests = {f"{split}.jsonl": file_digest(staged / f"{split}.jsonl") for split in SPLITS}
        write_json(staged / "manifest.json", {**manifest, "files": digests})
        publish(staged, destination)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built dataset. UserError: there is none."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} is not a built dataset; delete it and build it again.") from None
    return manifest


def read_split(folder: Path, split: str) -> list[Example]:
    """The examples of one split of a built dataset. UserError: the file is not the one that was built."""
    path = folder / f"{split}.jsonl"
    expected = read_manifest(folder)["files"].get(path.name)
    if not path.is_file() or file_digest(path) != expected:
        raise UserError(f"{path} has changed since it was built; delete {folder} and build it again.")
    return read_examples(path)
