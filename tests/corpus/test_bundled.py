import csv
import re

import pytest

from persona_exp.corpus.book import read_book
from persona_exp.corpus.quotation.quotes import find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from tests.corpus.saltmere import FOLDER, gold_of, stories


def test_it_is_large_enough() -> None:
    assert len(stories()) >= 10
    assert sum(len(story.read_text(encoding="utf-8").split()) for story in stories()) >= 20_000


@pytest.mark.parametrize("story", stories(), ids=lambda path: path.stem)
def test_gold_names_the_speaker_of_every_quotation(story) -> None:
    text = story.read_text(encoding="utf-8")
    marked = [(match.start(1), match.end(1)) for match in re.finditer(r"“([^“”]*?)(?:”|(?=\n\n“))", text)]
    assert len(marked) == text.count("“")
    assert set(gold_of(story.name)) == set(marked)
    assert all(gold_of(story.name).values())


def test_gold_offsets_are_exact_and_its_speakers_are_in_the_cast() -> None:
    with (FOLDER / "cast.csv").open(encoding="utf-8", newline="") as file:
        cast = {(row["book"], row["name"]) for row in csv.DictReader(file)}
    with (FOLDER / "gold.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = (FOLDER / row["book"]).read_text(encoding="utf-8")
            assert text[int(row["start"]) : int(row["end"])] == row["text"]
            assert (row["book"], row["speaker"]) in cast


@pytest.mark.parametrize("story", stories(), ids=lambda path: path.stem)
def test_the_reader_leaves_the_text_as_it_is_and_finds_every_gold_span(story) -> None:
    book = read_book(story)
    assert book.text == story.read_text(encoding="utf-8")
    assert 3 <= len(book.chapters) <= 4
    assert [chapter.title for chapter in book.chapters] == ["I.", "II.", "III.", "IV."][: len(book.chapters)]
    found = set()
    for chapter in book.chapters:
        for quote in find_quotes(book.text, find_paragraphs(book.text, chapter.start, chapter.end)):
            assert quote.rule != "malformed"
            found |= set(quote.spans)
    assert found <= set(gold_of(story.name))
    assert len(found) >= 0.99 * len(gold_of(story.name))


def test_lines_are_at_most_72_columns() -> None:
    for story in stories():
        assert all(len(line) <= 72 for line in story.read_text(encoding="utf-8").split("\n"))
        assert "{" not in story.read_text(encoding="utf-8")
