from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.reading.markup_removal import remove_markup
from persona_exp.corpus.reading.page_headers_and_numbers import is_page_number, join_pages, page_furniture, put_headings_back
from persona_exp.corpus.reading.removed_text import SAMPLES, Cuts


def test_running_titles_and_page_numbers_go_and_paragraphs_go_on() -> None:
    words = ("one", "two", "three", "four", "five", "six")
    pages = [f"THE TIDE   {page}\n\nThe water rose {word} and the\n\nboat swung. It was {word}.\n\n" for page, word in enumerate(words)]
    cuts = Cuts()
    text = join_pages("\f".join(pages), cuts)
    assert "TIDE" not in text
    assert text.count("boat swung") == 6
    assert [(cut.kind, cut.number) for cut in cuts.all()] == [("running title", 6)]


def test_a_paragraph_over_a_page_end_is_one() -> None:
    assert join_pages("It rang and\n12\n\fnobody came.\n\fThen it fell.\n", Cuts()) == "It rang and\nnobody came.\n\nThen it fell.\n"


def test_a_heading_that_is_also_a_running_title_stays_once() -> None:
    pages = [["CHAPTER I", "It rang."], *([["CHAPTER I", "It rang."]] * 5)]
    assert [len(found) for found in page_furniture(pages)] == [0, 1, 1, 1, 1, 1]


def test_page_numbers() -> None:
    assert all(map(is_page_number, ["12", "- 12 -", "[12]", "xii", "Page 3", "3 of 300"]))
    assert not any(map(is_page_number, ["IV", "12 men", "1884 was wet", ""]))


def test_page_numbers_in_a_text_without_page_ends() -> None:
    page = "It rang all night and nobody came to see.\n" * 20
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    text = "".join(f"{page}and {word} of the\n\n{number}\n\nLOW WATER\n\nwater fell.\n\n" for number, word in enumerate(words, start=1))
    cuts = Cuts()
    cleaned = remove_markup(text, cuts)
    assert "LOW WATER" not in cleaned
    assert "and one of the\nwater fell." in cleaned
    assert {cut.kind: cut.number for cut in cuts.all()} == {"page number": 8, "running title": 8}


def test_chapters_that_are_plain_numbers_stay() -> None:
    text = "".join(f"{number}\n\n" + "It rang all night.\n\n" * 400 for number in range(1, 5))
    assert [line for line in remove_markup(text).split("\n") if line.isdigit()] == ["1", "2", "3", "4"]


def test_headings_that_were_read_before_the_end_of_their_section_are_put_back() -> None:
    section = "It rang.\n\n" * 3
    text = f"CHAPTER I\n{section}"
    for number in ("II", "III", "IV"):
        text += f"CHAPTER {number}.\nThe Bell\nIt rang last.\n\f{section}"
    moved = put_headings_back(text)
    assert moved.count("It rang last.\n\f\nCHAPTER") == 3
    assert moved.replace("\f", "").split() != text.split()
    assert sorted(moved.split()) == sorted(text.split())


def test_headings_that_open_their_sections_stay() -> None:
    text = "\f".join(f"CHAPTER {number}\n\nIt rang.\n" for number in ("I", "II", "III", "IV", "V"))
    assert put_headings_back(text) == text


@given(st.lists(st.sampled_from(["tide", "“No.”", "12", "CHAPTER I", "Low Water", "", "the end of the"]), max_size=40), st.integers(1, 5))
def test_joining_pages_loses_nothing_but_what_it_says(lines: list[str], size: int) -> None:
    text = "\f".join("\n".join(lines[start : start + size]) for start in range(0, len(lines), size))
    cuts = Cuts()
    joined = join_pages(text, cuts)
    cut = sum(entry.characters for entry in cuts.all())
    assert sum(len(line.strip()) for line in joined.split("\n")) + cut == sum(len(line) for line in lines)


def test_cuts_are_small_whatever_they_count() -> None:
    cuts = Cuts()
    for number in range(1000):
        cuts.add("page number", f"{number} " + "x" * 500)
    (cut,) = cuts.all()
    assert (cut.number, len(cut.samples), max(map(len, cut.samples))) == (1000, SAMPLES, 80)
    assert Cuts(cuts.all()).all() == cuts.all()
