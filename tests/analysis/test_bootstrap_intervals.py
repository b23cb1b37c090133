import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.bootstrap_intervals import Estimate, bits_per_byte, perplexity, perplexity_difference

ITEMS = st.lists(st.tuples(st.floats(0.1, 8), st.integers(1, 60)), min_size=2, max_size=40)
FEW = settings(max_examples=40, deadline=None)


def replies(items):
    tokens = np.array([count for _, count in items], float)
    return np.array([[rate * count for rate, count in items]]), tokens


def drawn(count, seed=0, seeds=1, spread=0.0):
    generator = np.random.default_rng(seed)
    tokens = generator.integers(5, 40, count).astype(float)
    rates = generator.normal(4, 0.5, count)
    return (rates + spread * np.arange(seeds)[:, None]) * tokens, tokens


def test_perplexity_weighs_each_token_the_same():
    assert perplexity(np.array([[3.0, 1.0]]), np.array([3.0, 1.0])).value == pytest.approx(math.e)
    assert perplexity(np.array([[4.0, 0.0]]), np.array([1.0, 3.0])).value == pytest.approx(math.e)


def test_bits_per_byte_of_one_bit_a_byte():
    assert bits_per_byte(np.array([[math.log(2) * 10]]), np.array([10.0])) == Estimate(pytest.approx(1), pytest.approx(1), pytest.approx(1))


@FEW
@given(ITEMS)
def test_interval_is_ordered_and_within_what_single_replies_show(items):
    nats, tokens = replies(items)
    found = perplexity(nats, tokens, draws=300)
    rates = np.exp(nats[0] / tokens)
    assert rates.min() * (1 - 1e-9) <= found.low <= found.high <= rates.max() * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_interval_contains_the_estimate(seed):
    found = perplexity(*drawn(60, seed))
    assert found.low < found.value < found.high


@FEW
@given(ITEMS, st.randoms(use_true_random=False))
def test_order_of_items_does_not_matter(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assert perplexity(*replies(shuffled), draws=200) == perplexity(*replies(items), draws=200)


@FEW
@given(ITEMS)
def test_difference_from_itself_is_nothing(items):
    nats, tokens = replies(items)
    assert perplexity_difference(nats, nats[0], tokens, draws=100) == Estimate(0, 0, 0)


def test_more_replies_give_narrower_intervals_on_average():
    def width(count):
        found = [perplexity(*drawn(count, seed), draws=500) for seed in range(20)]
        return np.mean([one.high - one.low for one in found])

    # Four times the replies halve the width.
    assert width(25) > 1.6 * width(100) > 2.5 * width(400)


def test_pairing_separates_what_the_brackets_of_two_rows_do_not():
    nats, tokens = drawn(60)
    better = nats - 0.05 * tokens
    ours, theirs = perplexity(better, tokens), perplexity(nats, tokens)
    assert ours.high > theirs.low
    found = perplexity_difference(better, nats[0], tokens)
    assert found.high < 0
    assert not found.includes_zero
    assert found.value == pytest.approx(ours.value - theirs.value)


def test_seeds_that_differ_widen_the_interval():
    alike, tokens = drawn(60, seeds=3)
    apart, _ = drawn(60, seeds=3, spread=0.3)
    assert perplexity(alike, tokens).value == pytest.approx(perplexity(alike[:1], tokens).value)
    middle = perplexity(apart, tokens)
    assert middle.value == pytest.approx(np.exp(apart.sum(1) / tokens.sum()).mean())
    narrow = perplexity(apart[1:2], tokens)
    assert middle.high - middle.low > 1.3 * (narrow.high - narrow.low)


def test_spread_over_seeds_is_not_understated():
    # All replies alike: what is left is the variance of a mean over four seeds.
    rates = np.array([1.0, 2.0, 3.0, 4.0])
    found = bits_per_byte(rates[:, None] * np.full(5, math.log(2)), np.ones(5))
    half = 1.96 * rates.std(ddof=1) / 2
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.2)


def test_same_as_scipy():
    nats, tokens = drawn(25)
    order = np.lexsort(np.vstack([nats, tokens]))
    theirs = stats.bootstrap(
        (nats[0, order], tokens[order]), lambda n, t, axis: np.exp(n.sum(axis) / t.sum(axis)), paired=True, vectorized=True,
        n_resamples=2000, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    ours = perplexity(nats, tokens, draws=2000)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_blocks_draw_the_same_as_one_go(monkeypatch):
    nats, tokens = drawn(25)
    whole = perplexity(nats, tokens, draws=500)
    monkeypatch.setattr("analysis.bootstrap_intervals.BLOCK", 25 * 2 * 7)
    assert perplexity(nats, tokens, draws=500) == whole


def test_no_items_is_an_error():
    with pytest.raises(ValueError, match="0 items"):
        perplexity(np.zeros((1, 0)), np.zeros(0))
