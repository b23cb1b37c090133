"""Which passages train, which validate, which test: decided on passages, before anything is made of them."""

from collections.abc import Mapping, Sequence

from persona_exp.corpus.passages import Passage
from persona_exp.dataset.near_duplicates import PASSAGE_WINDOW, find_copies
from persona_exp.dataset.training_example import SPLITS
from persona_exp.errors import UserError


def split_by_book(passages: Sequence[Passage], files: Mapping[str, str], validation: Sequence[str], test: Sequence[str]) -> dict[str, str]:
    """Return the split of every passage, by its id; `files` maps a file name to its book's id, the two lists hold file names.

    Raise UserError if a list names a book that is not read, or both name one.
    """
    check_held_out_books(list(files), validation, test)
    splits = {files[name]: split for split, names in (("validation", validation), ("test", test)) for name in names}
    return {passage.id: splits.get(passage.book, "train") for passage in passages}


def check_held_out_books(books: Sequence[str], validation: Sequence[str], test: Sequence[str]) -> None:
    """Raise UserError unless the two lists name some of `books`, none of them twice, and leave one to train on."""
    for key, names in (("validation", validation), ("test", test)):
        for name in names:
            if name not in books:
                raise UserError(f"corpus.{key} names {name}, which is not in corpus.books; add it there or correct the name.")
    both = sorted(set(validation) & set(test))
    if both:
        raise UserError(f"{both[0]} is in corpus.validation and in corpus.test; leave it in one of them.")
    if not test:
        raise UserError("corpus.test names no book to test on; name one of corpus.books, or set data.split=chapter.")
    if not set(books) - set(validation) - set(test):
        raise UserError("Every book validates or tests, so none is left to train on; shorten corpus.validation or corpus.test.")


def split_by_chapter(passages: Sequence[Passage], validation_fraction: float, test_fraction: float) -> dict[str, str]:
    """Return the split of every passage, by its id: of each book the last chapters test and those before them validate.

    A fraction above 0 takes at least one chapter of each book. Raise UserError if a book has too few chapters to leave one
    for training.
    """
    chapters: dict[str, set[int]] = {}
    for passage in passages:
        chapters.setdefault(passage.book, set()).add(passage.chapter)
    split_of_chapter: dict[tuple[str, int], str] = {}
    for book, numbers in chapters.items():
        ordered = sorted(numbers)
        test = max(1, round(test_fraction * len(ordered))) if test_fraction else 0
        validation = max(1, round(validation_fraction * len(ordered))) if validation_fraction else 0
        if test + validation >= len(ordered):
            raise UserError(
                f"{book} has {len(ordered)} chapter{'s' if len(ordered) > 1 else ''}, too few for data.validation_fraction="
                f"{validation_fraction:g} and data.test_fraction={test_fraction:g}; set data.split=book and name the test books."
            )
        for place, number in enumerate(reversed(ordered)):
            split_of_chapter[book, number] = "test" if place < test else "validation" if place < test + validation else "train"
    return {passage.id: split_of_chapter[passage.book, passage.chapter] for passage in passages}


def passages_sharing_text(passages: Sequence[Passage]) -> list[list[str]]:
    """Return the ids of passages that share text with each other, directly or through others: one list a group, in the order of `passages`.

    Two books may share a chapter, one book may have it under two titles, and editions cut it at other places: what counts is a stretch
    of 40 words, or a whole shorter passage, with at most a fifth of its words changed (`find_copies`).
    """
    root = list(range(len(passages)))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for copy in find_copies([passage.text for passage in passages], window=PASSAGE_WINDOW):
        first, second = sorted((find(copy.left), find(copy.right)))
        root[second] = first
    groups: dict[int, list[str]] = {}
    for place, passage in enumerate(passages):
        groups.setdefault(find(place), []).append(passage.id)
    return [group for group in groups.values() if len(group) > 1]


def assign_splits(passages: Sequence[Passage], split_of: Mapping[str, str], groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return `split_of` for every one of `passages`, with each group where the one of its passages is that is held out furthest.

    Test before validation before training: what is tested on in one place is trained on in none.
    """
    assigned = {passage.id: split_of[passage.id] for passage in passages}
    for group in groups:
        furthest = max((assigned[name] for name in group), key=SPLITS.index)
        assigned |= dict.fromkeys(group, furthest)
    return assigned
