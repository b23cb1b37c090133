import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.evaluation.evaluation_metrics import POSSIBLE, ImpossibleMetric, Metric, check, summarise
from persona_exp.evaluation.greedy_generation import Reply
from persona_exp.evaluation.reply_likelihood import ReplyScore

SCORES = [
    ReplyScore(nats=20.0, tokens=8, correct=3, bytes=40, nats_with_end=21.0, tokens_with_end=9),
    ReplyScore(nats=4.0, tokens=2, correct=2, bytes=7, nats_with_end=4.5, tokens_with_end=3),
]


def replies_of(*texts: str) -> list[Reply]:
    return [Reply(text, "stop") for text in texts]


def test_likelihood_metrics_weigh_tokens_alike() -> None:
    metrics = summarise(SCORES, [], [])
    assert metrics["perplexity"] == Metric(pytest.approx(math.exp(24 / 10)), 10, "tokens")  # type: ignore[arg-type]
    assert metrics["bits_per_byte"] == Metric(pytest.approx(24 / math.log(2) / 47), 47, "bytes")  # type: ignore[arg-type]
    assert metrics["token_accuracy"] == Metric(0.5, 10, "tokens")
    assert metrics["eval_loss"] == Metric(25.5 / 12, 12, "tokens")
    assert set(metrics) == {"perplexity", "bits_per_byte", "token_accuracy", "eval_loss"}


def test_text_metrics_state_items_and_words() -> None:
    metrics = summarise(SCORES, replies_of("Upon my word, yes.", "I do not know"), ["Yes.", "A hansom came to-day"])
    assert set(metrics) == set(POSSIBLE)
    assert metrics["jaccard"].n == metrics["bleu"].n == metrics["rougeL"].n == 2
    assert metrics["period_terms_per_1000_words"] == Metric(1000 * 1 / 8, 8, "words")
    assert metrics["reference_period_terms_per_1000_words"] == Metric(1000 * 2 / 5, 5, "words")


def test_replies_that_were_cut_or_loop_are_counted_as_shares() -> None:
    replies = [Reply("Aye, " * 20, "length"), Reply("I had rather not say where I was that", "length"), *replies_of("Yes.", "No.")]
    metrics = summarise(SCORES, replies, ["A"] * 4)
    assert metrics["truncated_replies"] == Metric(0.5, 4, "items")
    assert metrics["looping_replies"] == Metric(0.25, 4, "items")


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([], "perplexity rests on 0 tokens"),
        ([replace(SCORES[0], nats=-1.0)], "perplexity = 0.88"),
        ([replace(SCORES[0], nats=math.nan)], "perplexity = nan"),
        ([replace(SCORES[0], nats=math.inf)], "perplexity = inf"),
        ([replace(SCORES[0], nats=1e6)], "perplexity = inf"),
        ([replace(SCORES[0], bytes=0)], "bits_per_byte rests on 0 bytes"),
        ([replace(SCORES[0], correct=9)], "token_accuracy = 1.125"),
        ([replace(SCORES[0], nats_with_end=-3.0)], "eval_loss = -0.33"),
        ([replace(SCORES[0], tokens_with_end=0)], "eval_loss rests on 0 tokens"),
    ],
)
def test_impossible_scores_stop(scores: list[ReplyScore], named: str) -> None:
    with pytest.raises(ImpossibleMetric, match=named):
        summarise(scores, [], [])
    assert not issubclass(ImpossibleMetric, UserError)


def test_replies_without_a_word_have_no_frequency_and_overlap_nothing() -> None:
    metrics = summarise(SCORES, replies_of("", "..."), ["Yes.", "No."])
    assert set(POSSIBLE) - set(metrics) == {"period_terms_per_1000_words"}
    assert metrics["rouge1"].value == metrics["bleu"].value == metrics["jaccard"].value == 0


def test_references_without_a_word_stop() -> None:
    with pytest.raises(ImpossibleMetric, match="reference_period_terms_per_1000_words rests on 0 words"):
        summarise(SCORES, replies_of("Yes."), ["..."])


@pytest.mark.parametrize("name", sorted(POSSIBLE))
@pytest.mark.parametrize("value", [-0.01, math.nan, math.inf, -math.inf])
def test_check_refuses_what_no_metric_can_be(name: str, value: float) -> None:
    with pytest.raises(ImpossibleMetric, match=name):
        check(name, Metric(value, 10, "tokens"))


@pytest.mark.parametrize("name", ["token_accuracy", "rouge1", "rouge2", "rougeL", "jaccard"])
def test_check_refuses_fractions_above_one(name: str) -> None:
    check(name, Metric(1 + 1e-12, 10, "items"))
    with pytest.raises(ImpossibleMetric, match=name):
        check(name, Metric(1.01, 10, "items"))


REPLIES = st.integers(1, 50).flatmap(
    lambda tokens: st.builds(
        lambda nats, end, correct, size: ReplyScore(nats, tokens, correct, size, nats + end, tokens + 1),
        st.floats(0, 500), st.floats(0, 20), st.integers(0, tokens), st.integers(1, 400),
    )
)  # fmt: skip


@given(st.lists(REPLIES, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_possible_scores_pass_whatever_their_order(scores: list[ReplyScore], random: object) -> None:
    shuffled = list(scores)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    metrics = summarise(scores, [], [])
    assert summarise(shuffled, [], []) == metrics
    losses = [score.nats / score.tokens for score in scores]
    assert min(losses) - 1e-9 <= math.log(metrics["perplexity"].value) <= max(losses) + 1e-9
