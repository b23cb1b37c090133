import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.quotation.quotation_marks import STYLES, find_style
from persona_exp.corpus.quotation.quotes import Quote, find_all_quotes, find_nested, find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Where is it? he asked.\n\nNobody knew.\n\n“Here.”", ["Where is it?", "Here."]),
        ("Where is it?” he asked.\n\n“Here.”", ["Where is it?", "Here."]),
        ("“I cannot tell, said Pell. “Ask Crane.”\n\n“Yes.”", ["I cannot tell. Ask Crane.", "Yes."]),
        ("“Yes,” said Crane, ask me.” He left.\n\n“Go.”", ["Yes, ask me.", "Go."]),
        ("“The bell has gone.\n\nNobody spoke for an hour, and the fog came down.\n\n“Go.”", ["The bell has gone.", "Go."]),
        ("“Sound it, said Wrexham.\n\n“It is deep,” said Pell.", ["Sound it.", "It is deep."]),
    ],
)
def test_a_lost_mark_costs_no_other_quotation(text: str, expected: list[str]) -> None:
    assert said(text) == expected
    assert [quote.rule for quote in quotes(text)] == ["unclosed", *[""] * (len(expected) - 1)]


def test_where_nobody_can_tell_what_is_said_it_is_malformed() -> None:
    assert [quote.rule for quote in quotes("“The rope “The bell went. “The fog came.”\n\n“Here.”")] == ["malformed", ""]


def test_one_lost_mark_does_not_spoil_a_long_story() -> None:
    text = "“One, “two.\n\n" + "“And the rope went on.\n\n" * 9 + "“That was all.”"
    (quote,) = quotes(text)
    assert quote.rule == "unclosed"
    assert (quote.first, quote.last) == (0, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'Tis the tide,' said he.\n\n'I know,' said Pell.", ["Tis the tide.", "I know."]),
        (
            "'I don't know,' said Pell. 'The dogs' tails are wet.'\n\nThe boys' boat sank with 'em.",
            ["I don't know. The dogs' tails are wet."],
        ),
        ("‘I see’, said Pell. ‘You’ll go to th’ harbour?’\n\n’Twas late.", ["I see. You’ll go to th’ harbour?"]),
        ("‘No’, said Pell.\n\n‘Goin’ now, sir,’ said the boy.", ["No.", "Goin’ now, sir."]),
        ("'I went to the 'ospital,' he said. 'They give 'im 'is dinner.'", ["I went to the 'ospital. They give 'im 'is dinner."]),
        (
            "‘Mind the dogs’ tails,’ said he. ‘And the ladies’ hats, and James’ boat.’",
            ["Mind the dogs’ tails. And the ladies’ hats, and James’ boat."],
        ),
        ("'He said \"No,\" and went.'\n\nThe 'Prudence' sank.", ['He said "No," and went.']),
        (
            "‘First, the rope.\n\n‘Second, the bell,’ said Crane; ‘third, “the fog.”’",
            ["First, the rope.\n\nSecond, the bell; third, “the fog.”"],
        ),
        ('\'"Go," said I, and I went.\n\n\'"No," said my father.\'', ['"Go," said I, and I went.\n\n"No," said my father.']),
    ],
)
def test_british_editions(text: str, expected: list[str]) -> None:
    assert said(text) == [words[:1].upper() + words[1:] for words in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "—Yes, he said. I am going.\n\nThe man rose.\n\n—Sound it, Pell said, before you go.\n\n—No.",
            ["Yes. I am going.", "Sound it, before you go.", "No."],
        ),
        ("—Will you come? said Pell quickly. He sat down.\n\n—No.\n\n—Why not?", ["Will you come?", "No.", "Why not?"]),
        ("«Yes,» said Pell.\n\n«No,» said he, «not I.»", ["Yes.", "No, not I."]),
        ("``Yes,'' said Pell. ``I go.''\n\n``Dont.''", ["Yes. I go.", "Dont."]),
        ('"Dont go," said Pell, "it wont hurt."', ["Dont go, it wont hurt."]),
    ],
)
def test_other_marks(text: str, expected: list[str]) -> None:
    assert said(text) == expected


def test_one_text_in_every_style_says_the_same() -> None:
    pattern = "{Is it deep?} asked Pell.\n\n{It is,} said Wrexham, {and cold.}\n\nThey went on.\n\n{Here,} said Pell. {Look!}"
    marks = {"double": "“”", "single": "‘’", "guillemets": "«»"}
    for style, (opening, closing) in marks.items():
        text = pattern.replace("{", opening).replace("}", closing)
        assert find_style(text, find_paragraphs(text)) == style
        assert said(text) == ["Is it deep?", "It is, and cold.", "Here. Look!"]


def test_a_short_chapter_has_the_marks_of_its_book() -> None:
    one = "—It is deep, said Pell.\n\n" * 9
    text = one + "—We are lost.\n\nThe fog came down."
    chapters = [find_paragraphs(text, 0, len(one)), find_paragraphs(text, len(one))]
    assert [len(found) for found in find_all_quotes(text, chapters)] == [9, 1]
    assert [quote.chapter for quote in find_all_quotes(text, chapters)[1]] == [2]
    assert find_quotes(text, chapters[1]) == []


def test_a_letter_in_a_speech_is_part_of_it() -> None:
    text = "“The letter runs:\n\nDear Sir,\n\nCome at once.” He put it down.\n\n“Well?”"
    assert said(text) == ["The letter runs:\n\nDear Sir,\n\nCome at once.", "Well?"]


def test_a_closing_mark_alone_in_its_paragraph_closes_the_speech_before_it() -> None:
    assert said("“The bell has gone.\n\n”\n\n“Go.”") == ["The bell has gone.", "Go."]


def test_speech_does_not_go_on_into_another_scene() -> None:
    assert [quote.last for quote in quotes("“The bell has gone.\n\n* * *\n\n“Where?” said he.")] == [0, 1]


def test_marks_of_measure_open_nothing() -> None:
    assert said('The plate was 6" thick and the gun 12" wide.\n\n"Good," said he.') == ["Good."]


def test_quotations_within_a_quotation_are_found_in_it() -> None:
    text = "“I asked, and ‘Go,’ said he, ‘and look.’\n\n“‘I have,’ said I.\n\n“That was all.”"
    (quote,) = quotes(text)
    nested = find_nested(text, quote, find_paragraphs(text))
    assert [(one.text, one.depth, one.first) for one in nested] == [("Go, and look.", 1, 0), ("I have.", 1, 1)]
    assert quote.depth == 0


def test_a_story_within_a_story_within_a_story_keeps_its_marks() -> None:
    text = "“He read:\n\n“‘“You go,” said my father, “and look.”\n\n“‘I went.’\n\n“That was all,” said Pell."
    (quote,) = quotes(text)
    assert (quote.rule, quote.first, quote.last) == ("", 0, 3)
    assert "You go,” said my father" in quote.text


def test_nested_single_marks_stay_in_the_speech() -> None:
    assert said("“He said ‘No,’ and went,” I told them.") == ["He said ‘No,’ and went."]


WORDS = st.lists(st.sampled_from(["rope", "bell", "fog", "tide"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(st.tuples(st.booleans(), WORDS), min_size=1, max_size=12))
def test_whatever_is_quoted_is_found_and_nothing_else(parts: list[tuple[bool, str]]) -> None:
    text = "\n\n".join(f"“{words.capitalize()}.”" if quoted else f"{words.capitalize()}." for quoted, words in parts)
    for version in (text, straight(text)):
        assert said(version) == [f"{words.capitalize()}." for quoted, words in parts if quoted]


@given(st.text(st.sampled_from("ab. ,“”\n—"), max_size=80))
def test_where_marks_pair_a_piece_holds_none_that_something_outside_opened(text: str) -> None:
    for quote in quotes(text):
        inside = [text[start:end] for start, end in quote.spans]
        assert quote.rule or all(piece.count("”") <= piece.count("“") for piece in inside)


@given(st.text(st.sampled_from("ab T. ,?“”\"'‘’«»—-\n"), max_size=120), st.sampled_from([None, *STYLES]))
def test_pieces_lie_within_paragraphs_in_order(text: str, style: str | None) -> None:
    paragraphs = find_paragraphs(text)
    found = find_quotes(text, paragraphs, style=style)
    places = [place for quote in found for span in quote.spans for place in span]
    assert places == sorted(places)
    for quote in found:
        assert quote.first <= quote.last
        for start, end in quote.spans:
            assert start < end
            assert any(one.start <= start and end <= one.end for one in paragraphs[quote.first : quote.last + 1])
        for inner in find_nested(text, quote, paragraphs):
            assert quote.start <= inner.start <= inner.end <= quote.end
            assert quote.first <= inner.first <= inner.last <= quote.last


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    paragraphs = find_paragraphs(text)
    for style in (None, *STYLES):
        assert all(quote.spans for quote in find_quotes(text, paragraphs, style=style))


@given(st.text(st.sampled_from("ab T. ,?“”\"'\n"), max_size=80), st.text(st.sampled_from("ab T. ,?“”\"'\n"), max_size=40))
def test_what_comes_in_another_scene_changes_nothing_before_it(text: str, more: str) -> None:
    text += "\n\nIt was late.\n\n"
    longer = text + "* * *\n\n" + more
    for style in ("double", "single"):
        before = find_quotes(text, find_paragraphs(text), style=style)
        assert find_quotes(longer, find_paragraphs(longer), style=style)[: len(before)] == before


@pytest.mark.long
@pytest.mark.parametrize("unit", ["'a ", " 'a", "' ", " don't", "“a", "—he said ", "a.' 'B ", '"a ', "“Yes, said he and went\n\n"])
def test_time_grows_with_the_length(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        paragraphs = find_paragraphs(text)
        start = time.process_time()
        find_quotes(text, paragraphs)
        return time.process_time() - start

    # A quadratic method takes 64 times as long for 8 times the text.
    assert seconds(1_600_000) < 24 * max(seconds(200_000), 0.02)
