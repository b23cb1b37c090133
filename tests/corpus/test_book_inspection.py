import json
from pathlib import Path

import pytest

from persona_exp.corpus.book_inspection import inspect_book, inspection_text, quotation_marks, unpaired

TEXT = (
    "THE BELL\n\nCONTENTS\n\nCHAPTER I\n\nCHAPTER II\n\nPART ONE\n\nCHAPTER I\n\n“It _rang_,” said Pell.\n\n“It rang. “Twice.\n\n"
    "CHAPTER II\n\nNobody came.\n"
)


def test_what_was_kept_and_what_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "bell.txt"
    path.write_bytes(TEXT.encode("cp1252"))
    seen = inspect_book(path)
    assert (seen.format, seen.encoding, seen.title, seen.words, seen.paragraphs) == ("txt", "Windows-1252", "THE BELL", 9, 3)
    assert [(chapter.part, chapter.title, chapter.words) for chapter in seen.chapters] == [
        ("PART ONE", "CHAPTER I", 7),
        ("PART ONE", "CHAPTER II", 2),
    ]
    assert seen.chapters[0].first_words.startswith("“It rang,” said Pell.")
    assert {cut.kind: (cut.number, cut.characters) for cut in seen.cuts} == {"emphasis": (1, 2), "contents list": (1, 31)}
    assert (seen.quotation_marks, seen.unpaired) == ("curly double", 1)
    assert json.loads(json.dumps(seen.as_dict()))["chapters"][1]["first_words"] == "Nobody came."
    for words in ("Windows-1252", "PART ONE", "CHAPTER II", "1 × emphasis (2 characters): _rang_", "do not pair: 1"):
        assert words in inspection_text(seen)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("“No,” said he.", "curly double"),
        ('"No," said he.', "straight double"),
        ("‘No,’ said he.", "curly single"),
        ("'No,' said he. 'It's late.'", "straight single"),
        ("He didn't.", "none"),
    ],
)
def test_styles_of_quotation_marks(text: str, style: str) -> None:
    assert quotation_marks([text]) == style


def test_a_speech_that_opens_again_in_the_next_paragraph_pairs() -> None:
    assert unpaired(["“It rang.", "“It fell.”", "“No.", "He left."], "curly double") == 1
    assert unpaired(['"It rang.', '"It fell."', '"No.', "He left."], "straight double") == 1
