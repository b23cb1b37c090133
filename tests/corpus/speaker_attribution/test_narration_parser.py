import pytest

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.cast.character_gender import gender_of
from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.speaker_attribution.narration_parser import parse_narration
from persona_exp.corpus.speaker_attribution.speaker_clues import speaker_in

CAST = (
    Character("Mr. Sidney Tull", ("Tull",)),
    Character("Miss Prudence Quill", ()),
    Character("The Old Pilot", ()),
    Character("Inspector Crane", ("Crane",)),
    Character("Arthur Tull", ()),
)


def people(text: str) -> list[tuple[int, ...]]:
    return [
        mention.people
        for sentence in parse_narration(text, 0, len(text), NameForms(CAST))
        for mention in sentence.mentions
        if mention.people
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Sidney Tull rose.", [(0,)]),
        ("Sidney rose, and Prudence sat.", [(0,), (1,)]),
        ("Miss Quill went out to the old pilot.", [(1,), (2,)]),
        ("The pilot of the day", []),
        # A listed name goes before one derived for somebody else.
        ("Tull spoke.", [(0,)]),
        ("Arthur Tull spoke.", [(4,)]),
        ("He would tull the bell and crane his neck.", []),
    ],
)
def test_people_are_found_by_any_form_of_their_names(text: str, expected: list[tuple[int, ...]]) -> None:
    assert people(text) == expected


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Tull looked at Crane.", "tull"),
        ("At the door Crane stopped.", "crane"),
        ("To Tull the inspector gave nothing.", "inspector"),
        ("Tull's sister laughed.", "sister"),
        ("The lamp went out.", None),
    ],
)
def test_the_subject_acts(text: str, subject: str | None) -> None:
    (sentence,) = parse_narration(text, 0, len(text), NameForms(CAST))
    assert (sentence.subject.words if sentence.subject else None) == subject


@pytest.mark.parametrize(
    ("text", "start", "speaker"),
    [
        ("said Crane, and Tull nodded.", True, "crane"),
        ("Crane, with a nod to Tull, replied.", True, "crane"),
        ("she heard Crane say.", True, "crane"),
        ("was Crane's answer.", True, "crane"),
        ("The pilot rose and Crane said:", False, "crane"),
        ("Crane glanced at Tull, who said,", False, "tull"),
        ("there was a knock.", True, None),
    ],
)
def test_who_says_something(text: str, start: bool, speaker: str | None) -> None:
    (sentence,) = parse_narration(text, 0, len(text), NameForms(CAST))
    found = speaker_in(sentence, strict=False, start=start)
    assert (found[0].words if found else None) == speaker


@pytest.mark.parametrize(
    ("character", "gender"),
    [
        (Character("Lady Ince"), "female"),
        (Character("Sir Godfrey Ince"), "male"),
        (Character("Bathsheba Loame", ("Mrs. Loame",)), "female"),
        (Character("Jabez Tull"), "male"),
        (Character("The Pilot’s Wife"), "female"),
        (Character("Crane"), None),
        (Character("Crane", gender="female"), "female"),
    ],
)
def test_gender(character: Character, gender: str | None) -> None:
    assert gender_of(character) == gender


def test_a_text_without_full_stops_is_read_in_pieces() -> None:
    text = "said Crane and " * 2000
    sentences = parse_narration(text, 0, len(text), NameForms(CAST))
    assert max(len(sentence.words) for sentence in sentences) <= 300
    assert sum(len(sentence.words) for sentence in sentences) == 6000
