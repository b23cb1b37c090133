"""Reservations, limits, the ledger."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.teacher.token_and_money_budget import Budget, BudgetSpent, Spent, fewest_tokens, likely_tokens, most_tokens


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": 0}, {"max_cost": -1.0}, {"input_price_per_million": -1.0}, {"max_cost": 1.0}],
)
def test_limits_that_are_none(wrong):
    with pytest.raises(UserError, match=r"teacher\."):
        Budget(**wrong)


def test_what_is_not_used_is_given_back():
    budget = Budget(max_tokens=100)
    with budget.reserve(60, 40) as reservation:
        assert budget.spent() == Spent(1, 60, 40)
        reservation.settle(10, None)
    assert budget.spent() == Spent(1, 10, 40)
    with budget.reserve(10, 0) as reservation:
        reservation.release()
    assert budget.spent() == Spent(1, 10, 40)
    with pytest.raises(ValueError, match="lost"), budget.reserve(10, 10):
        raise ValueError("lost")
    assert budget.spent() == Spent(2, 20, 50)
    with pytest.raises(BudgetSpent, match=r"has spent 70 of 100 tokens, and the next call may take 31"):
        budget.reserve(31, 0)


def test_money():
    budget = Budget(max_cost=0.003, input_price_per_million=1.0, output_price_per_million=10.0)
    with budget.reserve(1000, 200) as reservation:
        reservation.settle(1000, 200)
    with pytest.raises(BudgetSpent, match=r"raise teacher\.max_cost \(now 0\.003\)"):
        budget.reserve(1, 0)


def test_waits_for_what_others_give_back():
    budget = Budget(max_tokens=100)
    held = budget.reserve(90, 0)
    got = []
    waiting = threading.Thread(target=lambda: got.append(budget.reserve(50, 0)))
    waiting.start()
    waiting.join(0.05)
    assert not got
    with held:
        held.settle(10, 0)
    waiting.join(2)
    assert got


def test_two_processes_share_a_ledger(tmp_path):
    ledger = tmp_path / "new" / "ledger.json"
    one, other = Budget(max_tokens=100, ledger=ledger), Budget(max_tokens=100, ledger=ledger)
    with one.reserve(60, 0) as reservation:
        with pytest.raises(BudgetSpent):
            other.reserve(60, 0)
        reservation.settle(20, 0)
    with other.reserve(60, 0):
        pass
    assert one.spent() == other.spent() == Budget(ledger=ledger).spent() == Spent(2, 80, 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"calls": 1}', '{"calls": 1, "input_tokens": "9", "output_tokens": 0}'])
def test_a_damaged_ledger_is_not_taken_for_an_empty_one(tmp_path, text):
    ledger = tmp_path / "ledger.json"
    ledger.write_text(text)
    with pytest.raises(UserError, match="delete it to count from nothing"):
        Budget(ledger=ledger).spent()


steps = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["settle", "release", "lose"]), st.floats(0, 1)), max_size=12
)


@settings(deadline=None)
@given(steps=steps, limit=st.integers(1, 200))
def test_the_sum_never_exceeds_the_limit(steps, limit):
    budget = Budget(max_tokens=limit)
    used = 0
    for tokens_in, tokens_out, end, share in steps:
        try:
            with budget.reserve(tokens_in, tokens_out) as reservation:
                assert budget.spent().tokens <= limit
                if end == "settle":
                    used += int(share * tokens_in) + int(share * tokens_out)
                    reservation.settle(int(share * tokens_in), int(share * tokens_out))
                elif end == "release":
                    reservation.release()
                else:
                    used += tokens_in + tokens_out
        except BudgetSpent:
            assert used + tokens_in + tokens_out > limit
        assert budget.spent().tokens == used <= limit


@given(text=st.text())
def test_bounds_are_in_order(text):
    messages = [{"role": "user", "content": text}]
    assert fewest_tokens(messages) <= most_tokens(messages)
    assert likely_tokens(messages) <= most_tokens(messages)
    assert most_tokens(messages) > len(text.encode())  # Byte-level tokenizers make no more than that.
