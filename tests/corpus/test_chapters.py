import pytest

from persona_exp.corpus.chapters import find_chapters, heading_kind

PROSE = "The tide was out. Nobody came."


def titles(text: str) -> list[str]:
    return [chapter.title for chapter in find_chapters(text)]


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ("CHAPTER I", "chapter"),
        ("Chapter the First", "chapter"),
        ("CHAPTER XIV.\nThe Last Buoy", "chapter"),
        ("Chapter twenty-one", "chapter"),
        ("PART II", "container"),
        ("I. A SMALL LOSS", "numbered"),
        ("IV.", "bare"),
        ("* * *", "rule"),
        ("THE END", "end"),
        ("Contents", "contents"),
        ("Part one of my plan was done.", None),
        ("Chapter and verse were given.", None),
        ("I. The First\nII. The Second", None),
        ("I was born in Saltmere.", None),
        ("I", "bare"),
        ("THE WET BALLAST", "capitals"),
    ],
)
def test_headings(block: str, kind: str | None) -> None:
    assert heading_kind(block) == kind


def test_contents_list_makes_no_chapters() -> None:
    text = f"A NOVEL\n\nCONTENTS\n\nCHAPTER I. Ebb\n\nCHAPTER II. Flood\n\nCHAPTER I. Ebb\n\n{PROSE}\n\nCHAPTER II. Flood\n\n{PROSE}\n"
    assert titles(text) == ["CHAPTER I. Ebb", "CHAPTER II. Flood"]


def test_chapter_body_has_neither_heading_nor_end() -> None:
    text = f"CHAPTER I\nEbb\n\n{PROSE}\n\nCHAPTER II\n\nFlood\n\n{PROSE}\n\nTHE END\n"
    assert [text[chapter.start : chapter.end] for chapter in find_chapters(text)] == [PROSE, PROSE]
    assert titles(text) == ["CHAPTER I Ebb", "CHAPTER II Flood"]


def test_a_part_heading_closes_the_chapter_before_it() -> None:
    text = f"PART I\n\nCHAPTER I\n\n{PROSE}\n\nPART II\n\nThe Far Country.\n\nCHAPTER I\n\n{PROSE}\n"
    assert [text[chapter.start : chapter.end] for chapter in find_chapters(text)] == [PROSE, PROSE]


def test_numbered_titles_outrank_bare_numerals() -> None:
    text = f"I. THE BUOY\n\nI.\n\n{PROSE}\n\nII.\n\n{PROSE}\n\nII. THE BELL\n\n{PROSE}\n"
    assert titles(text) == ["I. THE BUOY", "II. THE BELL"]


def test_bare_numerals_are_chapters_where_there_is_nothing_better() -> None:
    assert titles(f"The Bell\n\nI.\n\n{PROSE}\n\nII.\n\n{PROSE}\n") == ["I.", "II."]


def test_a_line_that_wraps_before_a_lone_i_is_no_heading() -> None:
    text = "The Bell\n\n“You must come at once,” said\nI.\n\n“I shall,” said he. “Now.”\n"
    assert len(find_chapters(text)) == 1


def test_text_without_headings_is_one_chapter_without_its_title() -> None:
    text = f"The Bell\n\n{PROSE}\n\n{PROSE}\n"
    (chapter,) = find_chapters(text)
    assert text[chapter.start : chapter.end] == f"{PROSE}\n\n{PROSE}"
