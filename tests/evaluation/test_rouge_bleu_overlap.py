import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.evaluation.rouge_bleu_overlap import bleu, jaccard, rouge


def test_rouge_by_hand() -> None:
    scores = rouge(["the dog sat quietly"], ["the cat sat"])
    # Unigrams shared: the, sat. P = 2/4, R = 2/3, F1 = 4/7. No bigram is shared. Longest common subsequence: the sat.
    assert scores["rouge1"] == pytest.approx(4 / 7)
    assert scores["rouge2"] == 0
    assert scores["rougeL"] == pytest.approx(4 / 7)


def test_rouge_l_minds_the_order_and_rouge_1_does_not() -> None:
    scores = rouge(["sat cat the"], ["the cat sat"])
    assert scores["rouge1"] == pytest.approx(1)
    assert scores["rougeL"] == pytest.approx(1 / 3)


def test_rouge_stems_words() -> None:
    assert rouge(["he was walking"], ["he was walked"])["rouge1"] == pytest.approx(1)


def test_rouge_is_the_mean_over_pairs() -> None:
    assert rouge(["the cat", "nothing"], ["the cat", "else"])["rouge2"] == pytest.approx(1 / 2)


def test_bleu_by_hand() -> None:
    value, signature = bleu(["the cat sat on the mat"], ["the cat sat on a mat"])
    # Modified precisions 5/6, 3/5, 2/4, 1/3; equal length, hence no brevity penalty.
    assert value == pytest.approx(100 * math.exp(sum(map(math.log, (5 / 6, 3 / 5, 2 / 4, 1 / 3))) / 4))
    assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_bleu_pools_counts_over_the_corpus() -> None:
    value, _ = bleu(["the cat sat on the mat", "a b c d"], ["the cat sat on a mat", "a b c d"])
    assert value == pytest.approx(100 * math.exp(sum(map(math.log, (9 / 10, 6 / 8, 4 / 6, 2 / 4))) / 4))


def test_bleu_punishes_short_replies() -> None:
    value, _ = bleu(["the cat sat on"], ["the cat sat on the mat"])
    assert value == pytest.approx(100 * math.exp(1 - 6 / 4))


def test_jaccard_by_hand() -> None:
    assert jaccard(["The cat, the CAT sat"], ["the dog sat"]) == pytest.approx(2 / 4)
    assert jaccard(["a b", "x"], ["a b", "y"]) == pytest.approx(1 / 2)
    assert jaccard([""], ["..."]) == 1
    assert jaccard([""], ["word"]) == 0


@pytest.mark.parametrize("measure", [rouge, bleu, jaccard])
def test_nothing_and_unequal_lengths_are_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="cannot be compared"):
        measure([], [])
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(["a"], ["a", "b"])


TEXTS = st.lists(st.text(alphabet="abc d'-.\n", max_size=30), min_size=1, max_size=4)


@given(TEXTS)
def test_ranges_and_symmetry(texts: list[str]) -> None:
    others = list(reversed(texts))
    assert all(0 <= value <= 1 + 1e-9 for value in rouge(texts, others).values())
    assert 0 <= bleu(texts, others)[0] <= 100 + 1e-9
    assert jaccard(texts, others) == pytest.approx(jaccard(others, texts))
    assert jaccard(texts, texts) == 1
