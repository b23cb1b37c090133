import operator
import re
from collections import Counter
from itertools import combinations

import pytest

from persona_exp.dataset.general_examples import SYSTEM_PROMPT, general_examples
from persona_exp.dataset.training_example import SPLITS

EXAMPLES = general_examples()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def five_grams(text: str) -> set[tuple[str, ...]]:
    tokens = words(text)
    return {tuple(tokens[start : start + 5]) for start in range(len(tokens) - 4)}


def said_by(role: str) -> list[tuple[str, str]]:
    return [(example.id, turn["content"]) for example in EXAMPLES for turn in example.messages if turn["role"] == role]


def test_there_are_enough_in_each_split() -> None:
    counts = Counter(example.split for example in EXAMPLES)
    assert sum(counts.values()) >= 240
    assert set(counts) == set(SPLITS)
    assert all(0.08 <= counts[split] / len(EXAMPLES) <= 0.12 for split in ("validation", "test"))


def test_ids_and_passages_are_one_each() -> None:
    assert len({example.id for example in EXAMPLES}) == len({example.passage for example in EXAMPLES}) == len(EXAMPLES)
    assert {(example.kind, example.book, example.chapter, example.persona) for example in EXAMPLES} == {
        ("general", "general", 0, "assistant")
    }


def test_a_topic_is_in_one_split() -> None:
    split_of: dict[str, str] = {}
    for example in EXAMPLES:
        topic = example.passage.removeprefix("general/").rpartition("-")[0]
        assert split_of.setdefault(topic, example.split) == example.split


def test_turns_alternate_after_the_system_prompt_and_answers_are_of_modest_length() -> None:
    for example in EXAMPLES:
        roles = [turn["role"] for turn in example.messages]
        assert roles in (["system", "user", "assistant"], ["system", "user", "assistant", "user", "assistant"])
        assert example.messages[0]["content"] == SYSTEM_PROMPT
    for name, answer in said_by("assistant"):
        assert 10 <= len(answer.split()) <= 90, name


def test_typography_is_plain() -> None:
    assert not re.search("[“”‘’…–]", "".join(turn["content"] for example in EXAMPLES for turn in example.messages))


@pytest.mark.parametrize(("role", "most"), [("user", 0.65), ("assistant", 0.3)])
def test_no_two_are_nearly_the_same(role: str, most: float) -> None:
    bags = [(name, set(words(text))) for name, text in said_by(role)]
    for (one, left), (other, right) in combinations(bags, 2):
        assert len(left & right) / len(left | right) <= most, (one, other)


def test_no_five_words_in_a_row_are_in_two_splits() -> None:
    found: dict[tuple[str, ...], str] = {}
    for example in EXAMPLES:
        for turn in example.messages[1:]:
            for gram in five_grams(turn["content"]):
                assert found.setdefault(gram, example.split) == example.split, gram


def test_sums_that_are_spelled_out_are_right() -> None:
    operations = {"times": operator.mul, "minus": operator.sub, "divided by": operator.truediv}
    found = [
        match
        for _, answer in said_by("assistant")
        for match in re.findall(r"(\d+) (times|minus|divided by) (\d+) (?:is|makes|equals) (\d+(?:\.\d+)?)", answer)
    ]
    assert len(found) >= 4
    for left, operation, right, result in found:
        assert operations[operation](int(left), int(right)) == float(result), (left, operation, right)
