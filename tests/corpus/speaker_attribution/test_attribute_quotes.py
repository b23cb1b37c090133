from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.cast.character import NARRATOR, Character
from persona_exp.corpus.quotation.quotes import Quote, find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.corpus.speaker_attribution.attribute_quotes import attribute_book, attribute_quotes
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE

WREXHAM = Character("Tobias Wrexham", ("Wrexham", "Mr. Wrexham"), gender="male")
PELL = Character("Edwin Pell", ("Pell", "Mr. Pell"), narrator=True, gender="male")
CRANE = Character("Lucius Crane", ("Crane", "the inspector"), gender="male")
HALLAM = Character("Dorcas Hallam", ("Mrs. Hallam",), gender="female")
NAN = Character("Nan Furlong", ("Nan", "Miss Furlong"), gender="female")
CAST = (WREXHAM, PELL, CRANE, HALLAM, NAN)
NAMES = {"W": "Tobias Wrexham", "P": "Edwin Pell", "C": "Lucius Crane", "H": "Dorcas Hallam", "N": "Nan Furlong", "-": None}


def attributed(text: str, *cast: Character) -> list[Quote]:
    paragraphs = find_paragraphs(text)
    return attribute_quotes(find_quotes(text, paragraphs), text, paragraphs, cast or (WREXHAM, PELL, CRANE))


def speakers(text: str, *cast: Character) -> list[str | None]:
    return [quote.speaker for quote in attributed(text, *cast)]


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("“Sound it,” said Wrexham.", "Tobias Wrexham"),
        ("“Sound it,” said Mr. Wrexham, “and go.”", "Tobias Wrexham"),
        ("“Sound it,”\nsaid\nWrexham quietly.", "Tobias Wrexham"),
        ("“Sound it!” cried Wrexham.", "Tobias Wrexham"),
        ("“Sound it,” Wrexham answered.", "Tobias Wrexham"),
        ("“Sound it,” Wrexham slowly replied, “and go.”", "Tobias Wrexham"),
        ("Wrexham said, “Sound it.”", "Tobias Wrexham"),
        ("Then Wrexham turned to me and said: “Sound it.”", "Tobias Wrexham"),
        ("At last Wrexham rose, and asked:—\n\n“Who rang it?”", "Tobias Wrexham"),
        ("“Sound it,” was Wrexham’s answer.", "Tobias Wrexham"),
        ("“Sound it,” I heard Wrexham say.", "Tobias Wrexham"),
        ("Crane looked at Wrexham, who said, “Sound it.”", "Tobias Wrexham"),
        ("“Sound it,” said I.", "Edwin Pell"),
        ("“Is it deep?” I asked.", "Edwin Pell"),
        ("“A plain case,” said the inspector.", "Lucius Crane"),
        ("“I rang her,” cried Jabez Tuckett.", "Jabez Tuckett"),
        ("“Sound it,” said Josiah Wrexham.", "Josiah Wrexham"),
        # Nobody is named, or somebody else.
        ("“Sound it,” said he.", None),
        ("“Sound it,” said the old man.", None),
        ("“Sound it.”", None),
        ("“Sound it.” Wrexham’s brother laughed.", None),
        ("“Sound it,” said Wrexham’s brother.", None),
        ("“Wrexham,” he said, “sound it.”", None),
    ],
)
def test_who_speaks(text: str, speaker: str | None) -> None:
    assert speakers(text) == [speaker]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("“Sound it,” said Wrexham.", "verb-subject"),
        ("“Sound it,” Wrexham answered.", "subject-verb"),
        ("Wrexham said, “Sound it.”", "introduced"),
        ("“Sound it,” said I.", "narrator"),
        ("“A plain case,” said the inspector.", "description"),
        ("Wrexham shook his head. “Sound it.”", "action"),
        ("Wrexham came in. “Sound it,” he said.", "pronoun"),
    ],
)
def test_the_rule_tells_what_decided(text: str, rule: str) -> None:
    assert [quote.rule for quote in attributed(text)] == [rule]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Two who talk take turns, forwards and backwards from where they are named.
        ("“Who?” asked Wrexham.\n\n“Nobody,” said Mrs. Hallam.\n\n“When?”\n\n“Never.”\n\n“Why?”", "WHWHW"),
        ("Wrexham and Mrs. Hallam sat down.\n\n“Who?”\n\n“Nobody.”\n\n“When?”\n\n“Never,” said Mrs. Hallam.", "WHWH"),
        # The one who is called does not speak, and answers.
        ("Wrexham came in with Mrs. Hallam.\n\n“Is it you, Mrs. Hallam?”\n\n“It is.”", "WH"),
        # "She" is a woman, and the one who is at hand.
        ("Wrexham met Mrs. Hallam at the gate.\n\n“It is late,” she said.\n\n“It is,” he said.", "HW"),
        ("Mrs. Hallam had gone out. Nan stood by the stove.\n\n“It is late,” she said.", "N"),
        # Somebody who is given a sentence in a paragraph speaks in it.
        ("“It is late,” said Nan.\n\nMrs. Hallam put down the lamp. “It is never late here.”", "NH"),
        # Who says her own name.
        ("Mrs. Hallam opened the door to a girl.\n\n“I am Nan Furlong, ma’am,” she said.", "N"),
        # "Said nothing" is no speech.
        ("Crane and Wrexham waited.\n\n“Who?” Wrexham said nothing.", "C"),
    ],
)
def test_conversations(text: str, expected: str) -> None:
    assert speakers(text, *CAST) == [NAMES[letter] for letter in expected]


def test_a_description_means_whom_the_book_has_shown_it_to_mean() -> None:
    shown = "Crane met Nan by the ferry. “It is late,” said the young girl.\n\n“It is,” said Crane.\n\n"
    assert speakers(shown * 3, *CAST) == ["Nan Furlong", "Lucius Crane"] * 3


def test_her_mother_is_not_herself() -> None:
    mother = Character("Mrs. Furlong", gender="female")
    text = "Nan sat by Mrs. Furlong.\n\n“It is late,” said Nan.\n\n“It is,” said her mother."
    assert speakers(text, NAN, mother) == ["Nan Furlong", "Mrs. Furlong"]


def test_two_at_once_are_no_one() -> None:
    (quote,) = attributed("“Sound it,” said Wrexham and Pell together.")
    assert quote.speaker is None or quote.confidence < DEFAULT_CONFIDENCE


def test_the_narrator_is_named_only_where_the_cast_has_one() -> None:
    assert speakers("“Sound it,” said I.", WREXHAM) == [NARRATOR]


def test_the_narrator_is_the_one_whom_others_call_in_answer() -> None:
    text = "“Is it deep?” I asked Wrexham.\n\n“Sound it, Mr. Pell,” said Wrexham.\n\n" * 4
    cast = (WREXHAM, replace(PELL, narrator=False))
    assert speakers(text, *cast) == ["Edwin Pell", "Tobias Wrexham"] * 4


def test_a_story_within_quotation_marks_is_not_the_narrators() -> None:
    text = "“I was a boy then,” said Wrexham. “‘Go,’ said I, and I went.\n\n“‘No,’ said my father.”"
    assert speakers(text) == ["Tobias Wrexham"]


def test_without_a_cast_people_are_called_as_the_text_calls_them() -> None:
    text = "“Sound it,” said Tuckett.\n\n“No,” said Mrs. Frome.\n\n“Yes.”"
    paragraphs = find_paragraphs(text)
    found = attribute_quotes(find_quotes(text, paragraphs), text, paragraphs, ())
    assert [quote.speaker for quote in found] == ["Tuckett", "Mrs. Frome", "Tuckett"]


def test_two_speakers_in_one_paragraph_are_parted() -> None:
    assert speakers("“Is it deep?” I asked. “Sound it,” said Wrexham.") == ["Edwin Pell", "Tobias Wrexham"]
    assert len(speakers("“Is it deep?” I asked. Wrexham turned. “Sound it.”")) == 2


def test_gold_spans_stay_one_to_one_without_splitting() -> None:
    text = "“Is it deep?” I asked. “Sound it,” said Wrexham."
    paragraphs = find_paragraphs(text)
    quotes = find_quotes(text, paragraphs)
    found = attribute_quotes(quotes, text, paragraphs, CAST, split=False)
    assert [quote.spans for quote in found] == [quote.spans for quote in quotes]


def test_a_pronoun_takes_up_the_name_before_it() -> None:
    text = "“I think you will find,” said Wrexham, “that it is so.” He rose. “Come,” he added."
    assert speakers(text) == ["Tobias Wrexham"]


def test_a_new_scene_starts_a_new_conversation() -> None:
    talk = "“Who?” asked Wrexham.\n\n“Nobody,” said Mrs. Hallam."
    (*_, joined) = attributed(f"{talk}\n\n“When?”", *CAST)
    (*_, parted) = attributed(f"{talk}\n\n* * *\n\n“When?”", *CAST)
    assert (joined.speaker, joined.rule) == ("Tobias Wrexham", "alternation")
    assert parted.confidence < joined.confidence


def test_a_book_at_once_gives_each_chapter_its_own() -> None:
    text = "“Who?” asked Wrexham.\n\n“Nobody,” said Nan.\n\n“Sound it,” said I.\n\n“It is deep,” said Crane."
    first, second = find_paragraphs(text, 0, 44), find_paragraphs(text, 44)
    chapters = [(find_quotes(text, first, 1), first), (find_quotes(text, second, 2), second)]
    found = attribute_book(chapters, text, CAST)
    said = [[quote.speaker for quote in chapter] for chapter in found]
    assert said == [["Tobias Wrexham", "Nan Furlong"], ["Edwin Pell", "Lucius Crane"]]
    assert [[quote.first for quote in chapter] for chapter in found] == [[0, 1], [0, 1]]
    assert [[quote.chapter for quote in chapter] for chapter in found] == [[1, 1], [2, 2]]


def test_malformed_quotes_are_handed_back() -> None:
    text = "“Sound it, said Wrexham.\n\n“Go,” said Crane."
    paragraphs = find_paragraphs(text)
    broken = Quote(0, ((1, 24),), 0, 0, "Sound it, said Wrexham.", rule="malformed")
    sound = replace(broken, spans=((27, 30),), first=1, last=1, text="Go.", rule="")
    found = attribute_quotes([broken, sound], text, paragraphs, CAST)
    assert found[0] == broken
    assert found[1].speaker == "Lucius Crane"


SAYS = st.sampled_from(
    [
        "“It is deep,” said Wrexham.",
        "“Is it?” asked Mrs. Hallam.",
        "“Sound it,” he said.",
        "“Go, Nan,” she said, “and come.”",
        "“Who?”",
        "“Nobody.”",
        "Crane rose. “Plain,” said the inspector. Nan laughed. “Very.”",
        "“I will,” said I.",
        "“Out,” cried her mother.",
        "The tide was out, and nobody spoke.",
        "* * *",
    ]
)


@given(st.lists(SAYS, max_size=25))
def test_what_always_holds(said: list[str]) -> None:
    text = "\n\n".join(said)
    paragraphs = find_paragraphs(text)
    quotes = find_quotes(text, paragraphs)
    found = attribute_quotes(quotes, text, paragraphs, CAST)
    assert [quote.start for quote in found] == sorted(quote.start for quote in found)
    assert [span for quote in found for span in quote.spans] == [span for quote in quotes for span in quote.spans]
    for quote in found:
        assert quote.speaker in {character.name for character in CAST} | {None}
        assert 0.0 <= quote.confidence <= 1.0
        assert quote.rule
        assert (quote.speaker is None) == (quote.confidence == 0.0)
    assert attribute_quotes(quotes, text, paragraphs, CAST) == found
