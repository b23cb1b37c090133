import re

from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.paragraphs import find_paragraphs
from persona_exp.corpus.quotes import Quote, find_quotes


def quotes(text: str) -> list[Quote]:
    return find_quotes(text, find_paragraphs(text))


def said(text: str) -> list[str]:
    return [quote.text for quote in quotes(text)]


def straight(text: str) -> str:
    return re.sub("[“”]", '"', text)


def test_interrupted_speech_is_one_utterance_with_its_punctuation_repaired() -> None:
    cases = {
        "“Sound it, Pell,” said Wrexham, “before you steer by it.”": "Sound it, Pell, before you steer by it.",
        "“Mark that, Pell,” said Wrexham. “Not one person heard.”": "Mark that, Pell. Not one person heard.",
        "“The tide,” said he, “is out.”": "The tide is out.",
        "“Why,” he asked, “does it matter?”": "Why does it matter?",
        "“There it is,” said he; “it comes from the door.”": "There it is; it comes from the door.",
        "“Stop!” he cried. “You are mad.”": "Stop! You are mad.",
        "“It is plain,” said Crane.": "It is plain.",
        "“I was going to—” He stopped. “No matter.”": "I was going to— No matter.",
    }
    for text, expected in cases.items():
        assert said(text) == [expected]
        assert said(straight(text)) == [expected]


def test_spans_are_what_stands_between_the_marks() -> None:
    text = "Then: “Sound it,\nPell,” said he, “now.”"
    (quote,) = quotes(text)
    assert [text[start:end] for start, end in quote.spans] == ["Sound it,\nPell,", "now."]


def test_marks_reopened_in_each_paragraph_are_one_speech() -> None:
    text = "“First, the rope.\n\n“Second, the bell.\n\n“Third, the fog,” said Wrexham.\n\n“I see.”"
    assert said(text) == ["First, the rope.\n\nSecond, the bell.\n\nThird, the fog.", "I see."]
    assert said(straight(text)) == said(text)
    assert [(quote.first, quote.last) for quote in quotes(text)] == [(0, 2), (3, 3)]


def test_names_and_words_held_up_are_not_speech() -> None:
    assert said("The ketch “Prudence” lay beside a “boat,” as he called it, and sank.") == []
    assert said("“We sailed in the brig,” said he, and wrote “Prudence” on the slate.") == ["We sailed in the brig."]


def test_marks_that_do_not_pair_are_malformed() -> None:
    for text in ("“Where is it? he asked.\n\nNobody knew.", "Where is it?” he asked.", 'He said "where is it.\n\nNobody knew.'):
        assert all(quote.rule == "malformed" for quote in quotes(text)), text


def test_nested_single_marks_stay_in_the_speech() -> None:
    assert said("“He said ‘No,’ and went,” I told them.") == ["He said ‘No,’ and went."]


WORDS = st.lists(st.sampled_from(["rope", "bell", "fog", "tide"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(st.tuples(st.booleans(), WORDS), min_size=1, max_size=12))
def test_whatever_is_quoted_is_found_and_nothing_else(parts: list[tuple[bool, str]]) -> None:
    text = "\n\n".join(f"“{words.capitalize()}.”" if quoted else f"{words.capitalize()}." for quoted, words in parts)
    for version in (text, straight(text)):
        assert said(version) == [f"{words.capitalize()}." for quoted, words in parts if quoted]


@given(st.text(st.sampled_from('ab. ,“”"\n—'), max_size=80))
def test_spans_are_in_order_and_hold_no_curly_mark_where_marks_pair(text: str) -> None:
    found = quotes(text)
    places = [place for quote in found for span in quote.spans for place in span]
    assert places == sorted(places)
    assert all("”" not in text[start:end] for quote in found if quote.rule == "" for start, end in quote.spans)
