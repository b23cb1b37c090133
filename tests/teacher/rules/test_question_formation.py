"""Clauses, what is asked about them, and the verbs of both."""

import pytest

from persona_exp.teacher.rules import verb_forms
from persona_exp.teacher.rules.clause_parser import parse, to_you, you_clause
from persona_exp.teacher.rules.question_formation import happened, questions

PERSONS = frozenset({"Crane", "Pell"})

ASKED = [
    ("I found the glove under the settle.", "where", "Where did you find the glove?"),
    ("I found the glove under the settle.", "what", "What did you find under the settle?"),
    ("I put the key in my pocket.", "with", "What did you do with the key?"),
    ("I took the letter from the drawer.", "where", "Where did you take the letter from?"),
    ("I had hidden the key in the drawer.", "where", "Where had you hidden the key?"),
    ("I followed Crane into the shop.", "whom", "Whom did you follow into the shop?"),
    ("When the bell rang, I lit the lamp.", "when", "When did you light the lamp?"),
    ("When the bell rang, I lit the lamp.", "did", "What did you do when the bell rang?"),
    ("When I reached the bank, I lit the lamp.", "did", "What did you do when you reached the bank?"),
    ("I closed the box and handed it back to Pell.", "then", "What did you do when you had closed the box?"),
    ("I lit the lamp because the room was dark.", "why", "Why did you light the lamp?"),
    ("I turned away to hide a blot.", "why", "Why did you turn away?"),
    ("I went to the window to watch the boats.", "why", "Why did you go to the window?"),
    ("I put out the lamp when the bell rang.", "did", "What did you do when the bell rang?"),
    ("I was standing on the landing.", "standing", "Where were you standing?"),
    ("I opened the yellow envelope.", "whether", "Did you open the yellow envelope?"),
]


@pytest.mark.parametrize(("answer", "kind", "question"), ASKED)
def test_question(answer: str, kind: str, question: str) -> None:
    clause = parse(answer)
    assert clause is not None
    assert (kind, question) in questions(clause, "you", PERSONS)


@pytest.mark.parametrize(
    "answer",
    [
        "I never opened the box.",
        "I did not open the box.",
        "I took it from there.",
        "I was tired of the whole matter.",
        "I heard a low, clear whistle.",
        "I saw that the lamp was out.",
        "Why had I remained in the house?",
        '"I opened the box," said I.',
    ],
)
def test_no_question(answer: str) -> None:
    clause = parse(answer)
    assert clause is None or questions(clause, "you", PERSONS) == []


def test_what_happened() -> None:
    assert happened("When I awoke in the morning, I was a good deal surprised.") == "What happened when you awoke in the morning?"
    assert happened("When it was done, I was surprised.") is None
    assert happened("As I turned away I saw Crane, with his back to the wall.") is None
    assert happened("When Pell returned with the lamp the table had been cleared, and I was asleep.") is None
    assert happened("As we left the room a woman, who had waited, rose before me.") is None
    assert happened("As if by the tide, my hat was gone.") is None


def test_idioms_are_not_asked_for() -> None:
    clause = parse("I took my seat at the table.")
    assert clause is not None
    assert not {kind for kind, _ in questions(clause, "you", PERSONS)} & {"what", "with", "where"}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("I put my hat on", "you put your hat on"),
        ("I was late", "you were late"),
        ("I am late", "you are late"),
        ("it pleased me and was mine", "it pleased you and was yours"),
        ("I threw myself down", "you threw yourself down"),
        ("we took our hats", "you took your hats"),
    ],
)
def test_to_you(said: str, asked: str) -> None:
    assert to_you(said) == asked


def test_you_clause_repeats_only_what_is_clear() -> None:
    assert you_clause("I reached the bank, and stopped.") == "you reached the bank"
    assert you_clause("I reached it.") is None
    assert you_clause("I had never seen the bank.") is None


@pytest.mark.parametrize(
    ("past", "base", "participle"),
    [
        ("went", "go", "gone"),
        ("took", "take", "taken"),
        ("lay", "lie", "lain"),
        ("found", "find", "found"),
        ("hoped", "hope", "hoped"),
        ("stopped", "stop", "stopped"),
        ("opened", "open", "opened"),
        ("carried", "carry", "carried"),
        ("wrote", "write", "written"),
        ("bound", "bind", "bound"),
    ],
)
def test_verbs(past: str, base: str, participle: str) -> None:
    assert verb_forms.base_of_past(past) == base
    assert verb_forms.past_of(base) == past
    assert verb_forms.participle_of(base) == participle


@pytest.mark.parametrize(
    ("third", "base"), [("goes", "go"), ("carries", "carry"), ("takes", "take"), ("watches", "watch"), ("glass", None)]
)
def test_third_person(third: str, base: str | None) -> None:
    assert verb_forms.base_of_third(third) == base
    if base is not None:
        assert verb_forms.third_of(base) == third


def test_every_verb_comes_back_from_its_past_and_its_third_person() -> None:
    forms, pasts, _ = verb_forms._table()
    assert len(forms) > 1500
    for base, (past, _) in forms.items():
        assert pasts[past] == base or verb_forms.past_of(pasts[past]) == past
        assert verb_forms.base_of_third(verb_forms.third_of(base)) is not None
