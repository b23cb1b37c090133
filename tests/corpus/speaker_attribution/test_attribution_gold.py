"""Attribution against the speakers that the bundled collection names by hand."""

import csv

import pytest

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.quotation.quotes import find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.corpus.speaker_attribution.attribute_quotes import attribute_quotes
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
from tests.corpus.saltmere import FOLDER, gold_of, stories

GENDERS = {"M": "male", "F": "female"}


@pytest.fixture(scope="module")
def decided() -> list[tuple[str, str | None, str, float]]:
    """Gold speaker, our speaker, rule and confidence of each piece in the collection; the cast does not say who narrates."""
    with (FOLDER / "cast.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for story in stories():
        text = story.read_text(encoding="utf-8")
        cast = [
            Character(row["name"], tuple(row["aliases"].split(";")), gender=GENDERS.get(row["gender"]))
            for row in rows
            if row["book"] == story.name
        ]
        paragraphs = find_paragraphs(text)
        gold = gold_of(story.name)
        for quote in attribute_quotes(find_quotes(text, paragraphs), text, paragraphs, cast):
            found += [(gold[span], quote.speaker, quote.rule, quote.confidence) for span in quote.spans if gold.get(span)]
    return found


def test_most_speakers_are_right(decided: list[tuple[str, str | None, str, float]]) -> None:
    assert len(decided) > 900
    assert sum(gold == speaker for gold, speaker, _, _ in decided) / len(decided) >= 0.8


def test_what_is_trusted_can_be_trusted(decided: list[tuple[str, str | None, str, float]]) -> None:
    trusted = [gold == speaker for gold, speaker, _, confidence in decided if confidence >= DEFAULT_CONFIDENCE]
    assert sum(trusted) / len(trusted) >= 0.95
    assert len(trusted) / len(decided) >= 0.5


def test_named_speakers_are_right(decided: list[tuple[str, str | None, str, float]]) -> None:
    named = [gold == speaker for gold, speaker, rule, _ in decided if rule in ("verb-subject", "subject-verb", "introduced", "narrator")]
    assert sum(named) / len(named) >= 0.99
    assert len(named) > 300


def test_higher_confidence_is_better(decided: list[tuple[str, str | None, str, float]]) -> None:
    ranked = sorted(decided, key=lambda one: -one[3])
    third = len(ranked) // 3
    right = [sum(gold == speaker for gold, speaker, _, _ in part) for part in (ranked[:third], ranked[third : 2 * third], ranked[-third:])]
    assert right == sorted(right, reverse=True)
    assert right[0] > right[2]


def test_the_narrator_is_found(decided: list[tuple[str, str | None, str, float]]) -> None:
    assert {gold for gold, _, rule, _ in decided if rule == "narrator"} == {"Edwin Pell"}
