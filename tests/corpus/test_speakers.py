import pytest

from persona_exp.corpus.paragraphs import find_paragraphs
from persona_exp.corpus.quotes import find_quotes
from persona_exp.corpus.speakers import CONFIDENCE, NARRATOR, Character, attribute
from tests.corpus.saltmere import CAST, gold_of, stories

WREXHAM = Character("Tobias Wrexham", ("Wrexham", "Mr. Wrexham"))
PELL = Character("Edwin Pell", ("Pell", "Mr. Pell"), narrator=True)
CRANE = Character("Lucius Crane", ("Crane", "the inspector"))


def speakers(text: str, *cast: Character) -> list[str | None]:
    paragraphs = find_paragraphs(text)
    return [quote.speaker for quote in attribute(find_quotes(text, paragraphs), text, paragraphs, cast or (WREXHAM, PELL, CRANE))]


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
        ("“Sound it,” said I.", "Edwin Pell"),
        ("“Is it deep?” I asked.", "Edwin Pell"),
        ("“A plain case,” said the inspector.", "Lucius Crane"),
        ("“I rang her,” cried Jabez Tuckett.", "Jabez Tuckett"),
        # Nobody is named, or somebody else.
        ("“Sound it,” said he.", None),
        ("“Sound it,” said the old man.", None),
        ("“Sound it.”", None),
        ("“Who?” Wrexham said nothing.", None),
        ("“Sound it.” Wrexham’s brother laughed.", None),
        ("“Sound it,” said Wrexham’s brother.", None),
        ("“Sound it,” said Wrexham and Pell together.", None),
        ("“Sound it,” said Josiah Wrexham.", "Josiah Wrexham"),
        ("“Wrexham,” he said, “sound it.”", None),
        ("“Sound it,” he said to Wrexham.", None),
        ("I looked at Wrexham and he said, “Sound it.”", None),
    ],
)
def test_who_speaks(text: str, speaker: str | None) -> None:
    assert speakers(text) == [speaker]


def test_the_narrator_is_named_only_where_the_cast_has_one() -> None:
    assert speakers("“Sound it,” said I.", WREXHAM) == [NARRATOR]


def test_a_story_told_within_quotation_marks_is_not_the_narrators() -> None:
    text = "“I was a boy then,” said Wrexham. “‘Go,’ said I, and I went.\n\n“‘No,’ said my father.”"
    assert speakers(text) == ["Tobias Wrexham"]


def test_two_speakers_in_one_paragraph_are_parted() -> None:
    assert speakers("“Is it deep?” I asked. “Sound it,” said Wrexham.") == ["Edwin Pell", "Tobias Wrexham"]
    assert speakers("“Is it deep?” I asked. Wrexham turned. “Sound it.”") == ["Edwin Pell", None]


def test_somebody_who_acts_in_between_may_be_the_one_who_goes_on() -> None:
    assert speakers("“A plain case,” said Wrexham. The inspector rose. “Is it?” he asked.") == ["Tobias Wrexham", None]


def test_a_pronoun_takes_up_the_name_before_it() -> None:
    assert speakers("“I think you will find,” said Wrexham, “that it is so.” He rose. “Come,” he added.") == ["Tobias Wrexham"]


def test_malformed_marks_get_no_speaker() -> None:
    assert speakers("“Sound it, said Wrexham.\n\nHe rose.") == [None]


@pytest.mark.parametrize("story", stories(), ids=lambda path: path.stem)
def test_every_named_speaker_in_the_bundled_stories_is_right(story) -> None:
    text = story.read_text(encoding="utf-8")
    gold = gold_of(story.name)
    paragraphs = find_paragraphs(text)
    named = [
        quote for quote in attribute(find_quotes(text, paragraphs), text, paragraphs, CAST) if quote.speaker in {one.name for one in CAST}
    ]
    wrong = [(quote.rule, quote.text) for quote in named if any(gold[span] != quote.speaker for span in quote.spans)]
    assert wrong == []
    assert sum(len(quote.spans) for quote in named) >= 0.2 * len(gold)
    assert all(quote.confidence == CONFIDENCE[quote.rule] for quote in named)
