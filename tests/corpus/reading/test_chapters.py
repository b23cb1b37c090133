import pytest

from persona_exp.corpus.reading.chapters import find_chapters, heading_kind

PROSE = "The tide was out. Nobody came."


def parts(text: str) -> list[str]:
    return [chapter.part for chapter in find_chapters(text)]


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
        ("CHAP. IX.", "chapter"),
        ("The Last Chapter", "chapter"),
        ("Phase the Second: Low Water", "container"),
        ("THE FIRST EPOCH", "container"),
        ("END OF THE SECOND VOLUME", "end"),
        ("CXXXV.", "bare"),
        ("The first part of it was long.", None),
        ("The second book he read was dull.", None),
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


def test_parts_and_volumes_are_kept_with_their_chapters() -> None:
    body = f"CHAPTER I\n\n{PROSE}\n\n"
    text = f"THE BELL\n\nVOLUME I\n\nBOOK I\n\n{body}BOOK II\n\nLow Water\n\n{body}VOLUME II\n\n{body}"
    assert parts(text) == ["VOLUME I, BOOK I", "VOLUME I, BOOK II Low Water", "VOLUME II"]


def test_parts_alone_are_chapters_and_no_parts() -> None:
    text = f"PART I\n\n{PROSE}\n\nPART II\n\n{PROSE}\n"
    assert (titles(text), parts(text)) == (["PART I", "PART II"], ["", ""])


def test_numerals_out_of_sequence_are_no_chapters() -> None:
    text = "".join(f"{number}.\n\n{PROSE}\n\n" for number in ("I", "XL", "II", "C", "III"))
    assert titles(text) == ["I.", "II.", "III."]


def test_cries_in_capitals_are_no_chapters() -> None:
    assert len(find_chapters(f"{PROSE}\n\nSTOP THE BELL\n\n{PROSE}\n\nSTOP IT\n\n{PROSE}\n")) == 1


def test_headings_that_the_file_marks_are_chapters() -> None:
    text = f"The Bell\n\nEbb\n\n{PROSE}\n\nFlood\n\n{PROSE}\n"
    assert [chapter.title for chapter in find_chapters(text, {0: 1, text.index("Ebb"): 2, text.index("Flood"): 2})] == ["Ebb", "Flood"]


def test_a_long_title_in_capitals_belongs_to_its_heading() -> None:
    title = "\n".join(["TELLS HOW THE LANTERN CAME TO BE UPON THE WRONG QUAY, AND WHO PUT IT THERE"] * 3)
    assert heading_kind(f"CHAPTER XXXVI.\n{title}") == "chapter"
    assert heading_kind(f"CHAPTER XXXVI.\n{title.capitalize()}") is None


def test_the_last_line_of_a_contents_list_is_no_chapter_whatever_follows_it() -> None:
    long = " ".join([PROSE] * 40)
    text = f"CHAPTER I\n\nCHAPTER II\n\nTo my mother, who rang it.\n\nCHAPTER I\n\n{long}\n\nCHAPTER II\n\n{long}\n"
    assert [chapter.end - chapter.start for chapter in find_chapters(text)] == [len(long)] * 2
