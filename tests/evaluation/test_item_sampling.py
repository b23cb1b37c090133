from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from persona_exp.evaluation.item_sampling import sample_items


def example(number: int, system: str = "") -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": f"answer {number}"}]
    return {"id": f"{system}{number}", "messages": ([{"role": "system", "content": system}] if system else []) + messages}


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.randoms(use_true_random=False))
def test_choice_is_capped_nested_and_blind_to_order(size: int, small: int, large: int, random: Any) -> None:
    small, large = sorted((small, large))
    examples = [example(number) for number in range(size)]
    chosen = sample_items(examples, large)
    assert len(chosen) == min(size, large)
    assert [one["id"] for one in chosen] == [one["id"] for one in examples if one in chosen]
    assert all(one in chosen for one in sample_items(examples, small))
    shuffled = list(examples)
    random.shuffle(shuffled)
    assert {one["id"] for one in sample_items(shuffled, large)} == {one["id"] for one in chosen}


def test_another_system_prompt_has_the_same_items() -> None:
    plain = [one["messages"] for one in sample_items([example(number) for number in range(50)], 10)]
    prompted = [one["messages"][1:] for one in sample_items([example(number, "You are Hale.") for number in range(50)], 10)]
    assert plain == prompted


def test_choice_is_not_the_beginning() -> None:
    examples = [example(number) for number in range(300)]
    places = [examples.index(dict(one)) for one in sample_items(examples, 30)]
    assert all(any(place // 100 == third for place in places) for third in range(3))


def test_equal_conversations_are_still_counted() -> None:
    assert len(sample_items([example(1), example(1), example(2)], 2)) == 2
