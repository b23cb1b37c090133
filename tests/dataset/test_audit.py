import pytest

from persona_exp.dataset.audit import audit
from persona_exp.dataset.example import Example
from persona_exp.errors import UserError


def example(number: int, split: str, reply: str, passage: str = "") -> Example:
    return Example(
        f"b.{number}", "dialogue", "P", "b", 1, passage or f"b/1/{number}", split, "given", 1.0, [{"role": "assistant", "content": reply}]
    )


def texts(examples: list[Example]) -> dict[str, str]:
    return {one.passage: one.passage for one in examples}


def test_a_reply_that_is_tested_on_is_not_trained_on() -> None:
    examples = [example(number, "train", f"Reply {number}.") for number in range(40)]
    examples += [example(40, "train", "Mark that,  PELL!"), example(41, "test", "“Mark that, Pell.”")]
    kept, counts = audit(examples, texts(examples))
    assert kept == [*examples[:40], examples[41]]
    assert counts == {"reply also in validation or test": 1}


def test_a_passage_that_is_validated_on_is_not_trained_on() -> None:
    examples = [example(number, "train", f"Reply {number}.") for number in range(40)]
    examples += [example(40, "train", "Same passage.", "one"), example(41, "validation", "Other words.", "two")]
    kept, counts = audit(examples, texts(examples) | {"one": "It was late, and “foggy”.", "two": "It was late and foggy."})
    assert examples[40] not in kept
    assert counts == {"passage also in validation or test": 1}


def test_more_than_a_twentieth_stops_the_build() -> None:
    examples = [example(number, "train", f"Reply {number}.") for number in range(18)]
    examples += [example(18, "train", "A."), example(19, "test", "A.")]
    with pytest.raises(UserError, match="1 of 19 training examples"):
        audit(examples, texts(examples))
