"""The persona's speeches in a passage as reported statements: what it said, and about what."""

import re

from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import FUNCTION
from persona_exp.teacher.rules.reported_speech import Reported, leans, report, second_person, split_speech
from persona_exp.teacher.rules.tense_backshift import Unsure
from persona_exp.teacher.rules.verb_forms import is_base

# A noun that what follows shows to be a whole one: not "the railway" of "the railway station".
THING = re.compile(
    r"\b(?:the|my|our)\s(?P<noun>[a-z]{4,})(?=[,.;:?!]|$|\s(?:of|in|on|at|upon|was|is|had|has|were|are|from|with|for|to|by|would|could|should|might)\b)"
)
NOTHING = words.listed(
    """matter same other first last next whole rest least most same time moment minute hour word name mind heart question point case
    fact thing things part side sort kind best better worst more half former latter second third fourth others mean means account
    reason green right left contrary worse advantage nature truth facts mystery right wrong energy rigidity pleading race world
    whole future past present rule habit idea chance use sake way"""
)


def resume(speech: str) -> str:
    """Return a speech that "said he" interrupted, with a full stop where a comma ended a sentence."""
    return re.sub(
        r",(?=\s(?!I\b)([A-Z][a-z]*)\b)", lambda match: "." if match[1].lower() in FUNCTION or is_base(match[1].lower()) else ",", speech
    )


def statements(speech: str) -> list[Reported]:
    """Return what of a speech can be reported by itself: statements that speak to nobody and lean on nothing."""
    found = []
    for sentence in split_speech(resume(speech)):
        try:
            reported, _ = report(sentence)
        except Unsure:
            continue
        if (
            reported.act == "said"
            and not second_person(reported.text)
            and not leans(reported.text)
            and not re.search(r",\s[A-Z]", reported.text)
        ):
            found.append(reported)
    return found


def loose_it(text: str) -> bool:
    """Return whether an "it" or a "this" comes before any thing that it could mean."""
    match = re.search(r"\b(?:it|its|itself|this|these|those|that(?=\s(?:was|had|is|would)\b)|that that)\b", text, re.IGNORECASE)
    return match is not None and re.search(r"\b(?:the|an?|my|his|her|some)\s[a-z]", text[: match.start()], re.IGNORECASE) is None


def thing(text: str) -> str:
    """Return the first thing that `text` speaks of, with its article; "" where it names none."""
    persons = words.PERSON | words.PERSON_HIS | words.PERSON_HER
    for match in THING.finditer(text):
        if match["noun"] not in NOTHING | persons | words.INNER:
            return match[0]
    return ""
