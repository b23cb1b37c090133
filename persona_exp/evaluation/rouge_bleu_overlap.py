"""How much a generated reply shares with the authentic one, on its surface."""

from collections.abc import Sequence

from persona_exp.evaluation.word_tokenizer import words

ROUGE = ("rouge1", "rouge2", "rougeL")


def rouge(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return the mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), each in [0, 1], by rouge-score with Porter stemming."""
    from rouge_score.rouge_scorer import RougeScorer

    _same_length(generated, references)
    scorer = RougeScorer(list(ROUGE), use_stemmer=True)
    scores = [scorer.score(reference, reply) for reply, reference in zip(generated, references, strict=True)]
    return {name: sum(score[name].fmeasure for score in scores) / len(scores) for name in ROUGE}


def bleu(generated: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Return corpus BLEU (Papineni et al. 2002) in [0, 100] with one reference a reply, and sacrebleu's signature of how it counts."""
    from sacrebleu.metrics.bleu import BLEU

    _same_length(generated, references)
    metric = BLEU()
    value = metric.corpus_score(list(generated), [list(references)]).score
    return float(value), str(metric.get_signature())


def jaccard(generated: Sequence[str], references: Sequence[str]) -> float:
    """Return the mean over pairs of |A ∩ B| / |A ∪ B| for their sets of lower-cased words, in [0, 1]; two texts without words count 1."""
    _same_length(generated, references)
    total = 0.0
    for reply, reference in zip(generated, references, strict=True):
        ours, theirs = set(words(reply)), set(words(reference))
        total += len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0
    return total / len(generated)


def _same_length(generated: Sequence[str], references: Sequence[str]) -> None:
    if len(generated) != len(references) or not generated:
        raise ValueError(f"{len(generated)} generated replies cannot be compared with {len(references)} references.")
