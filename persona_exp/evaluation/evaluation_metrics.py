"""From scored and generated replies to the numbers of the table, and no number that cannot be."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from persona_exp.evaluation.greedy_generation import Reply
from persona_exp.evaluation.period_vocabulary import period_terms
from persona_exp.evaluation.repetition_loops import loops
from persona_exp.evaluation.reply_likelihood import ReplyScore
from persona_exp.evaluation.rouge_bleu_overlap import ROUGE, bleu, jaccard, rouge
from persona_exp.evaluation.word_tokenizer import words


class ImpossibleMetric(Exception):
    """A metric has a value that no model can have: something was measured wrongly, and nothing may be published."""


@dataclass(frozen=True)
class Metric:
    """A value and the number `n` of `unit` (tokens, bytes, items or words) that it rests on."""

    value: float
    n: int
    unit: str


# The values that each metric can take, both ends included. BLEU is on sacrebleu's scale; the period frequency is per 1,000 words.
POSSIBLE: Mapping[str, tuple[float, float]] = {
    "perplexity": (1.0, math.inf),
    "bits_per_byte": (0.0, math.inf),
    "token_accuracy": (0.0, 1.0),
    "eval_loss": (0.0, math.inf),
    "rouge1": (0.0, 1.0),
    "rouge2": (0.0, 1.0),
    "rougeL": (0.0, 1.0),
    "bleu": (0.0, 100.0),
    "jaccard": (0.0, 1.0),
    "truncated_replies": (0.0, 1.0),
    "looping_replies": (0.0, 1.0),
    "period_terms_per_1000_words": (0.0, 1000.0),
    "reference_period_terms_per_1000_words": (0.0, 1000.0),
}

# Sums of rounded numbers may step over an end by this much (ROUGE of two equal texts is 1 + 2e-16).
ROUNDING = 1e-9


def summarise(scores: Sequence[ReplyScore], replies: Sequence[Reply], references: Sequence[str]) -> dict[str, Metric]:
    """Return all metrics of one evaluation; those of generated text only when there is any. Raise ImpossibleMetric if a value cannot be.

    A model that has collapsed may reply without a single word: that can be, and scores 0 in overlap, but the frequency of its
    period terms is undefined and left out.

    `perplexity` = exp(Σ nats / Σ tokens), `bits_per_byte` = Σ nats / ln 2 / Σ bytes and `token_accuracy` are about the
    text of the replies, each token weighing the same; `eval_loss` (nats a token) includes the end-of-turn token, as the
    training loss does. `truncated_replies` and `looping_replies` are the shares of generated replies that were cut at the most
    tokens a reply may have, and that say the same over and over (see `loops`): what the other measures of text rest on then.
    Raise ImpossibleMetric if a value cannot be.
    """
    metrics = _likelihood(scores)
    generated = [reply.text for reply in replies]
    if generated or references:
        metrics |= _overlap(generated, references)
        metrics["truncated_replies"] = _share(reply.finish_reason == "length" for reply in replies)
        metrics["looping_replies"] = _share(map(loops, generated))
        if any(map(words, generated)):
            metrics["period_terms_per_1000_words"] = _period(generated)
        metrics["reference_period_terms_per_1000_words"] = _period(references)
    for name, metric in metrics.items():
        check(name, metric)
    return metrics


def check(name: str, metric: Metric) -> None:
    """Raise ImpossibleMetric if `metric` rests on nothing, is not finite, or lies outside what `name` can be."""
    if metric.n <= 0:
        raise ImpossibleMetric(f"{name} rests on {metric.n} {metric.unit}: nothing was measured.")
    low, high = POSSIBLE[name]
    if not math.isfinite(metric.value) or not low - ROUNDING <= metric.value <= high + ROUNDING:
        raise ImpossibleMetric(f"{name} = {metric.value} over {metric.n} {metric.unit} is outside [{low:g}, {high:g}].")


def _likelihood(scores: Sequence[ReplyScore]) -> dict[str, Metric]:
    # fsum is exact, so the order of the items does not show in the last digit.
    nats = math.fsum(score.nats for score in scores)
    nats_with_end = math.fsum(score.nats_with_end for score in scores)
    tokens = sum(score.tokens for score in scores)
    tokens_with_end = sum(score.tokens_with_end for score in scores)
    size = sum(score.bytes for score in scores)
    return {
        "perplexity": Metric(_exp(_ratio(nats, tokens)), tokens, "tokens"),
        "bits_per_byte": Metric(_ratio(nats / math.log(2), size), size, "bytes"),
        "token_accuracy": Metric(_ratio(sum(score.correct for score in scores), tokens), tokens, "tokens"),
        "eval_loss": Metric(_ratio(nats_with_end, tokens_with_end), tokens_with_end, "tokens"),
    }


def _overlap(generated: Sequence[str], references: Sequence[str]) -> dict[str, Metric]:
    values = rouge(generated, references) | {"bleu": bleu(generated, references)[0], "jaccard": jaccard(generated, references)}
    return {name: Metric(values[name], len(generated), "items") for name in (*ROUGE, "bleu", "jaccard")}


def _share(found: Iterable[bool]) -> Metric:
    each = list(found)
    return Metric(sum(each) / len(each), len(each), "items")


def _period(texts: Sequence[str]) -> Metric:
    found, total = period_terms(texts)
    return Metric(_ratio(1000 * found, total), total, "words")


def _ratio(numerator: float, denominator: int) -> float:
    """Return the ratio; one over nothing is left to `check`, which names the metric."""
    return numerator / denominator if denominator else math.nan


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
