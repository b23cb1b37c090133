import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.dataset.example import Example
from persona_exp.dataset.mix import draw
from persona_exp.errors import UserError


def example(kind: str, number: int) -> Example:
    return Example(f"b.{number}.{kind}", kind, "P", "b", 1, "b/1/1", "train", "given", 1.0, [{"role": "assistant", "content": "x"}])


def pool(dialogue: int, narrative: int) -> list[Example]:
    return [example("dialogue", number) for number in range(dialogue)] + [example("narrative", number) for number in range(narrative)]


def ids(drawn: list[Example]) -> list[str]:
    return [one.id for one in drawn]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 8), st.integers(0, 5))
def test_counts_are_weight_times_available(dialogue: int, narrative: int, first: int, second: int, seed: int) -> None:
    drawn = draw(pool(dialogue, narrative), {"dialogue": first / 4, "narrative": second / 4}, None, seed) if first * dialogue >= 2 else None
    if drawn is not None:
        kinds = [one.kind for one in drawn]
        assert kinds.count("dialogue") == (first * dialogue + 2) // 4
        assert kinds.count("narrative") == (second * narrative + 2) // 4
        # No example a second time before every one of its kind has been taken once.
        counts = [ids(drawn).count(one) for one in set(ids(drawn)) if one.endswith("dialogue")]
        assert max(counts) - min(counts) <= 1


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_size_is_exact_and_smaller_draws_are_part_of_larger_ones(small: int, large: int, seed: int) -> None:
    small, large = sorted((small, large))
    examples = pool(60, 0)
    assert len(draw(examples, {"dialogue": 1}, large, seed)) == large
    assert set(ids(draw(examples, {"dialogue": 1}, small, seed))) <= set(ids(draw(examples, {"dialogue": 1}, large, seed)))
    both = draw(pool(60, 30), {"dialogue": 1, "narrative": 1}, small, seed)
    assert len(both) == small
    assert abs([one.kind for one in both].count("dialogue") - small * 2 / 3) < 1


def test_the_order_of_the_examples_does_not_matter_and_the_seed_does() -> None:
    examples = pool(30, 10)
    shuffled = random.Random(0).sample(examples, len(examples))
    weights = {"dialogue": 0.5, "narrative": 1.0}
    assert ids(draw(examples, weights, None, 1)) == ids(draw(shuffled, weights, None, 1))
    assert ids(draw(examples, weights, None, 1)) != ids(draw(examples, weights, None, 2))


@pytest.mark.parametrize(
    ("weights", "size", "message"),
    [
        ({"dialogue": 1, "narrative": 0.5}, None, "no example of the kind narrative"),
        ({"dialogue": 0, "narrative": 0}, None, "no training example"),
        ({"dialogue": 0.1}, None, "no training example"),
        ({"dialogue": 1}, 4, r"data\.size=4 is more than the 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(weights: dict[str, float], size: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(pool(3, 0), weights, size, 0)
