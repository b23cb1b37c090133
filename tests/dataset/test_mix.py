import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.dataset.mix import draw_mix
from persona_exp.dataset.training_example import Example
from persona_exp.errors import UserError


def example(kind: str, number: int) -> Example:
    return Example(f"b.{number}.{kind}", kind, "P", "b", 1, "b/1/1", "train", "given", 1.0, [{"role": "assistant", "content": "x"}])


def pool(dialogue: int, narrative: int) -> list[Example]:
    return [example("dialogue", number) for number in range(dialogue)] + [example("narrative", number) for number in range(narrative)]


def ids(drawn: list[Example]) -> list[str]:
    return [one.id for one in drawn]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 8), st.integers(0, 5))
def test_counts_are_weight_times_available(dialogue: int, narrative: int, first: int, second: int, seed: int) -> None:
    drawn = (
        draw_mix(pool(dialogue, narrative), {"dialogue": first / 4, "narrative": second / 4}, None, seed) if first * dialogue >= 2 else None
    )
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
    assert len(draw_mix(examples, {"dialogue": 1}, large, seed)) == large
    assert set(ids(draw_mix(examples, {"dialogue": 1}, small, seed))) <= set(ids(draw_mix(examples, {"dialogue": 1}, large, seed)))
    both = draw_mix(pool(60, 30), {"dialogue": 1, "narrative": 1}, small, seed)
    assert len(both) == small
    assert abs([one.kind for one in both].count("dialogue") - small * 2 / 3) < 1


def test_the_order_of_the_examples_does_not_matter_and_the_seed_does() -> None:
    examples = pool(30, 10)
    shuffled = random.Random(0).sample(examples, len(examples))
    weights = {"dialogue": 0.5, "narrative": 1.0}
    assert ids(draw_mix(examples, weights, None, 1)) == ids(draw_mix(shuffled, weights, None, 1))
    assert ids(draw_mix(examples, weights, None, 1)) != ids(draw_mix(examples, weights, None, 2))


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
        draw_mix(pool(3, 0), weights, size, 0)


def corpus() -> list[Example]:
    """Two personas in three books: 7, 5 and 4 of dialogue each, and as many of qa."""
    sizes = {"a": 7, "b": 5, "c": 4}
    return [
        replace(example(kind, number), id=f"{book}.{number}.{kind}.{persona}", persona=persona, book=book)
        for kind in ("dialogue", "qa")
        for persona in ("P", "Q")
        for book, size in sizes.items()
        for number in range(size)
    ]


WEIGHTS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0])


@given(WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS)
def test_weights_of_kinds_personas_and_books_multiply(qa: float, persona: float, one: float, other: float) -> None:
    weights = {"dialogue": 1.0, "qa": qa}
    drawn = draw_mix(corpus(), weights, None, 0, books={"a": one, "b": other}, personas={"Q": persona})
    counts = Counter((example.kind, example.persona, example.book) for example in drawn)
    for (kind, who, book), available in Counter((example.kind, example.persona, example.book) for example in corpus()).items():
        weight = round(100 * weights[kind]) * round(100 * {"Q": persona}.get(who, 1)) * round(100 * {"a": one, "b": other}.get(book, 1))
        assert counts[kind, who, book] == (2 * weight * available + 100**3) // (2 * 100**3)


def test_counts_of_a_kind_are_exact_over_the_books_that_are_not_named() -> None:
    drawn = draw_mix(corpus(), {"dialogue": 0.5, "qa": 0}, None, 0)
    assert Counter(one.persona for one in drawn) == {"P": 8, "Q": 8}
    # 0.15 is a little less in binary; what was written counts.
    assert len(draw_mix(pool(10, 0), {"dialogue": 0.15}, None, 0)) == 2


@given(st.integers(1, 64))
def test_size_is_shared_out_between_cells(size: int) -> None:
    every = Counter(one.persona for one in draw_mix(corpus(), {"dialogue": 1, "qa": 1}, size, 0, personas={"P": 0.5, "Q": 1.5}))
    assert sum(every.values()) == size
    assert abs(every["P"] - size / 4) <= 2


def test_what_is_attributed_too_unsurely_is_not_available() -> None:
    unsure = [replace(one, confidence=0.4) if one.book == "a" else one for one in corpus()]
    drawn = draw_mix(unsure, {"dialogue": 1, "qa": 1}, None, 0, min_confidence=0.5)
    assert Counter((one.kind, one.book) for one in drawn if one.book == "a") == {("qa", "a"): 14}
    assert draw_mix(unsure, {"dialogue": 1, "qa": 1}, None, 0, min_confidence=0.4) == draw_mix(
        corpus_with(unsure), {"dialogue": 1, "qa": 1}, None, 0
    )
    with pytest.raises(UserError, match=r"No example of the kind dialogue is as sure as 0\.5"):
        draw_mix([one for one in unsure if one.book == "a"], {"dialogue": 1}, None, 0, min_confidence=0.5)


def corpus_with(examples: list[Example]) -> list[Example]:
    return random.Random(1).sample(examples, len(examples))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"books": {"z": 1.0}}, r"data\.mix\.books names z, .* the books there are a, b, c\."),
        ({"personas": {"Z": 0.5}}, r"data\.mix\.personas names Z, .* the personas there are P, Q\."),
        ({"books": {"a": -1.0}}, r"data\.mix\.books\.a=-1 is no weight"),
        ({"personas": {"P": float("nan")}}, r"data\.mix\.personas\.P=nan is no weight"),
    ],
)
def test_unknown_names_and_weights_that_are_none(named: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw_mix(corpus(), {"dialogue": 1}, None, 0, **named)  # type: ignore[arg-type]
