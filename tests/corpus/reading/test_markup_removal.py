from persona_exp.corpus.reading.markup_removal import remove_markup


def test_emphasis_goes_and_snake_case_stays() -> None:
    assert remove_markup("To him she is _the_ woman of _The\nTimes_.") == "To him she is the woman of The\nTimes."
    assert remove_markup("file_name_one") == "file_name_one"


def test_illustrations_go_with_their_captions() -> None:
    assert remove_markup("Before.\n\n[Illustration: A ship\n[Copyright 1880]]\n\nAfter.").split() == ["Before.", "After."]


def test_page_numbers_go_and_years_in_prose_stay() -> None:
    assert remove_markup("It was\n\n 27\n\n[28]\n\nin 1884.").split() == ["It", "was", "in", "1884."]


def test_lines_that_are_paragraphs_are_parted_and_broken_ones_joined() -> None:
    long = "word " * 60 + "end."
    text = f"M\nr. Pell came. {long}\n“Well,” said he. {long}\n{long[:-5]}\nand went on. {long}\n"
    assert remove_markup(text).startswith("Mr. Pell came.")
    assert len(remove_markup(text).strip().split("\n\n")) == 3


def test_wrapped_text_is_left_alone() -> None:
    text = "A line of text\nand another.\n\nA paragraph.\n"
    assert remove_markup(text) == text
