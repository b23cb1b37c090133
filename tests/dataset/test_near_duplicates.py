import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.corpus.book import read_book
from persona_exp.corpus.passages import find_passages
from persona_exp.dataset import near_duplicates
from persona_exp.dataset.near_duplicates import (
    CHANGED,
    PIECE,
    SHORTEST,
    edits_inside,
    find_copies,
    find_formulas,
    find_runs,
    numbered,
    shingles,
    words,
)
from tests.corpus.saltmere import stories

VOCABULARY = [f"{first}{second}" for first in ("ba", "do", "ki", "lu", "mo", "ne") for second in ("ral", "sin", "tug", "vex", "wop", "zim")]


def changed(text: Sequence[str], edits: int, chance: random.Random) -> list[str]:
    """`text` with so many words replaced, put in or left out."""
    found = list(text)
    for _ in range(edits):
        place = chance.randrange(len(found))
        match chance.choice(("replace", "insert", "delete")):
            case "replace":
                found[place] = "other"
            case "insert":
                found.insert(place, "other")
            case _:
                del found[place]
    return found


def test_words_are_those_of_every_edition() -> None:
    assert words("“Don't,” said  HE—_he_ who’d come to the cafe\u0301.") == words("dont said he he whod come to the café")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.lists(st.integers(0, 3), max_size=14))
def test_edits_are_those_of_the_textbook(pattern: list[int], text: list[int]) -> None:
    row = list(range(len(pattern) + 1))
    fewest = row[-1]
    for word in text:
        later = [0]
        for place, own in enumerate(pattern, start=1):
            later.append(min(row[place - 1] + (own != word), row[place] + 1, later[-1] + 1))
        row = later
        fewest = min(fewest, row[-1])
    assert edits_inside(pattern, text) == fewest


@settings(max_examples=300)
@given(st.integers(SHORTEST, 130) | st.integers(130, 900), st.integers(0, 900), st.integers(0, 60), st.integers(0, 10**9))
def test_no_copy_with_a_fifth_of_its_words_changed_is_missed(length: int, before: int, after: int, seed: int) -> None:
    chance = random.Random(seed)
    text = chance.choices(VOCABULARY, k=length)
    page = [*chance.choices(VOCABULARY, k=before), *text, *chance.choices(VOCABULARY, k=after)]
    near = changed(text, length // CHANGED, chance)
    if len(near) >= SHORTEST:
        assert [(copy.left, copy.right) for copy in find_copies([" ".join(near)], [" ".join(page)])] == [(0, 0)]
        assert [(copy.left, copy.right) for copy in find_copies([" ".join(page)], [" ".join(near)])] == [(0, 0)]


def test_a_shared_stretch_of_longer_texts_is_found_wherever_it_stands() -> None:
    chance = random.Random(0)
    stretch, other = chance.choices(VOCABULARY, k=60), [f"x{number}" for number in range(300)]
    left = " ".join([*other[:150], *stretch])
    assert len(find_copies([left], [" ".join([*stretch, *other[150:]])])) == 1
    assert len(find_copies([left], [" ".join([*changed(stretch[:38], 7, chance), *other[150:]])])) == 1
    assert not find_copies([left], [" ".join([*stretch[:28], *other[150:]])], window=40)
    assert not find_copies([left], [" ".join([*stretch[:18], *other[150:]])])


@pytest.mark.parametrize("length", [8, 20, 40, 80])
@pytest.mark.parametrize("place", range(PIECE - 80, PIECE + 1, 5))
def test_where_long_texts_are_cut_nothing_is_lost(length: int, place: int) -> None:
    page = [f"x{number}" for number in range(2 * PIECE)]
    text = " ".join(changed(page[place : place + length], length // CHANGED, random.Random(place)))
    assert len(find_copies([text], [" ".join(page)])) == (len(text.split()) >= SHORTEST)


def test_short_texts_and_texts_with_more_changed_are_no_copies() -> None:
    page = "the tide came in over the bar and nobody on the quay said a word to us about the boat that was missing"
    assert not find_copies(["nobody on the quay said a word"], [page])
    assert find_copies(["nobody on the quay said a word to us"], [page])
    assert find_copies(["nobody on the pier said a word to us"], [page])
    assert not find_copies(["somebody on the pier heard a word from us"], [page])


def test_unlike_passages_of_one_author_are_no_copies() -> None:
    passages = [passage.text for path in stories() for passage in find_passages(read_book(path))]
    assert len(passages) > 100
    assert find_copies(passages) == []
    twice = [*passages, f"It was told again, in these words.\n\n{passages[7]}"]
    assert [(copy.left, copy.right) for copy in find_copies(twice)] == [(7, len(passages))]


def test_the_size_of_the_work_done_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    song = chance.choices(VOCABULARY, k=200)
    texts = [" ".join(song[start : start + chance.randrange(5, 60)]) for start in chance.choices(range(150), k=60)]
    within, between = find_copies(texts), find_copies(texts[:30], texts[30:])
    assert len(within) > 20
    monkeypatch.setattr(near_duplicates, "HITS_AT_ONCE", 1)
    assert (find_copies(texts), find_copies(texts[:30], texts[30:])) == (within, between)
    assert {(copy.left, copy.right - 30) for copy in within if copy.left < 30 <= copy.right} >= {
        (copy.left, copy.right) for copy in between
    }


def test_a_refrain_without_end_is_no_work_without_end() -> None:
    song = "la " * 200_000
    assert find_copies([song, "And then they sang " + song]) == []
    assert len(find_copies([f"{song} {LINE}", LINE])) == 1


LINE = "nobody on the quay said a word to us about the boat that was missing"


def test_nothing_has_no_copies() -> None:
    for nothing in ([], [""], ["two words", ""]):
        assert find_copies(nothing) == find_copies(nothing, ["and three words"]) == find_copies(["and three words"], nothing) == []
        assert find_runs(nothing, nothing, 13) == []
        assert len(find_formulas(nothing, nothing, 13, 0)) == 0


def test_runs_are_shared_words_that_are_not_ignored() -> None:
    numbers = [f"n{number}" for number in range(40)]
    run = " ".join(numbers[:5])
    left = [f"a b {run} c", " ".join(numbers[:4]), f"{run} z", f"y {run}"]
    assert find_runs(left, ["q " + run.upper() + "!"], 5) == [(0, 0, 2), (2, 0, 0), (3, 0, 1)]
    assert find_runs(left, [run], 5, shingles(numbered([f"You know: {run}."]), 5)[0]) == []


def test_formulas_are_runs_from_many_sources() -> None:
    left = ["a b c d", "x a b c", "a b c a b c", "c d e"]
    assert len(find_formulas(left, ["1", "2", "3", "3"], 3, 3)) == 0
    assert find_formulas(left, ["1", "2", "3", "3"], 3, 2).tolist() == shingles(numbered(["A, b, c."]), 3)[0].tolist()
    assert len(find_formulas(left, ["1", "1", "1", "1"], 3, 1)) == 0
