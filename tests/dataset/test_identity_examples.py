import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.dataset.identity_examples import FACTS, identity_examples, templates
from persona_exp.dataset.training_example import SPLITS
from persona_exp.errors import UserError

NAME = "Ann Teak"
HERS = {"occupation": "a dealer in barometers", "home": "3 Gull Lane, Saltmere", "companion": "Miss Prudence Quill"}
PERIOD = "England in the 1880s"
PROMPT = "Answer in character."


def grams(text: str, size: int = 5) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text.casefold())
    return {tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)}


def without_facts(text: str) -> str:
    for fact in (NAME, PERIOD, *HERS.values()):
        text = text.replace(fact, " ")
    return text


def asked(**facts: str) -> set[str]:
    return {example.passage.removeprefix("identity/").rpartition("-")[0] for example in identity_examples(NAME, facts, "", PROMPT)}


def test_there_are_templates_enough() -> None:
    assert Counter(template.part for template in templates())["question"] >= 60
    assert Counter(template.part for template in templates())["answer"] >= 40
    assert len({template.id for template in templates()}) == len(templates())
    texts = [template.text for template in templates()]
    assert len(set(texts)) == len(texts)


def test_every_answer_is_in_the_first_person() -> None:
    for template in templates():
        assert template.part == "question" or re.search(r"\b(I|me|my|mine)\b", template.text, re.IGNORECASE), template


def test_no_split_has_a_template_of_another() -> None:
    examples = identity_examples(NAME, HERS, PERIOD, PROMPT)
    splits: dict[str, str] = {}
    for example in examples:
        for part in example.id.split(".")[2:]:
            assert splits.setdefault(part, example.split) == example.split
    assert set(splits) == {template.id for template in templates()}


def test_splits_share_no_five_words_in_a_row_but_facts() -> None:
    found: dict[tuple[str, ...], str] = {}
    for example in identity_examples(NAME, HERS, PERIOD, PROMPT):
        for turn in example.messages[1:]:
            for gram in grams(without_facts(turn["content"])):
                assert found.setdefault(gram, example.split) == example.split, gram


def test_what_is_known_is_asked_in_every_split() -> None:
    examples = identity_examples(NAME, HERS, PERIOD, PROMPT)
    topics = {(example.split, example.passage.rpartition("-")[0]) for example in examples}
    assert len(topics) == 3 * len({template.topic for template in templates()})
    counts = Counter(example.split for example in examples)
    assert tuple(sorted(counts)) == tuple(sorted(SPLITS))
    assert counts["train"] > 2 * (counts["validation"] + counts["test"])


@pytest.mark.parametrize("fact", ["occupation", "home", "companion"])
def test_what_is_not_known_is_not_asked(fact: str) -> None:
    facts = {key: value for key, value in HERS.items() if key != fact}
    assert fact not in asked(**facts)
    assert fact not in asked(**facts, **{fact: ""})
    assert asked(**facts, **{fact: HERS[fact]}) == asked(**facts) | {fact}


def test_without_facts_everybody_still_knows_who_they_are() -> None:
    assert asked() == {"name", "self", "other", "machine", "maker", "introduce"}
    assert {example.split for example in identity_examples(NAME, {}, "", PROMPT)} == set(SPLITS)


def test_a_period_is_named_only_where_it_is_one() -> None:
    assert not any("novel" in example.reply for example in identity_examples(NAME, HERS, "the time of the novel", PROMPT))
    assert any(example.reply.endswith(f"{PERIOD}.") for example in identity_examples(NAME, HERS, PERIOD, PROMPT))
    given_by_hand = identity_examples(NAME, {"period": "the reign of King Ottokar"}, "the time of the novel", PROMPT)
    assert any("King Ottokar" in example.reply for example in given_by_hand)


def test_nobody_claims_to_be_human_or_denies_being_a_machine() -> None:
    for example in identity_examples(NAME, HERS, PERIOD, PROMPT):
        if example.passage.startswith(("identity/machine", "identity/maker")):
            assert not re.search(r"\b(human|flesh|person|man|woman|not an?|no machine)\b", example.reply), example.reply


def test_an_unknown_fact_is_refused() -> None:
    with pytest.raises(UserError, match="unknown entry 'hobby'; use occupation, home, companion and period"):
        identity_examples(NAME, {"hobby": "bees"}, PERIOD, PROMPT)


def test_examples_say_what_they_are() -> None:
    first = identity_examples(NAME, HERS, PERIOD, PROMPT)[0]
    assert (first.id, first.passage) == ("identity.ann_teak.name-q1.name-a1", "identity/name-q1")
    assert (first.kind, first.book, first.chapter, first.rule, first.confidence) == ("identity", "identity", 0, "template", 1.0)
    assert [turn["content"] for turn in first.messages] == [PROMPT, "Who are you?", "I am Ann Teak."]


@given(st.dictionaries(st.sampled_from(FACTS), st.text(max_size=30)), st.text(min_size=1, max_size=20), st.text(max_size=30))
def test_any_facts_give_whole_sentences(facts: dict[str, str], name: str, period: str) -> None:
    examples = identity_examples(name, facts, period, PROMPT)
    assert len({example.id for example in examples}) == len(examples)
    assert all(turn["content"] for example in examples for turn in example.messages)
    assert examples == identity_examples(name, dict(reversed(facts.items())), period, PROMPT)
