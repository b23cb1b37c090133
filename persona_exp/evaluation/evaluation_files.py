"""metrics.json, items.jsonl and generations.jsonl of an evaluation."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import write_json, write_text
from persona_exp.evaluation.evaluation_id import EVALUATION_VERSION
from persona_exp.evaluation.evaluation_items import PreparedItems
from persona_exp.evaluation.evaluation_metrics import summarise
from persona_exp.evaluation.evaluation_target import CONDITIONS, EvaluationSettings, EvaluationTarget
from persona_exp.evaluation.greedy_generation import Reply
from persona_exp.evaluation.period_vocabulary import LEXICON
from persona_exp.evaluation.repetition_loops import loops
from persona_exp.evaluation.reply_likelihood import ReplyScore
from persona_exp.evaluation.rouge_bleu_overlap import bleu
from persona_exp.evaluation.word_tokenizer import words


def write_evaluation(
    target: EvaluationTarget,
    settings: EvaluationSettings,
    items: PreparedItems,
    scores: Sequence[ReplyScore],
    replies: Sequence[Reply],
    computed_in: str,
) -> dict[str, dict[str, Any]]:
    """Write items.jsonl, generations.jsonl and metrics.json of a target into its staging folder; `computed_in` is the precision of its
    figures. Return the metrics. Raise ImpossibleMetric if a number cannot be."""
    metrics = {name: asdict(metric) for name, metric in summarise(scores, replies, items.references).items()}
    generated = [reply.text for reply in replies]
    looping = [loops(text) for text in generated]
    _write_lines(
        target.destination / "items.jsonl",
        (
            {"example": example["id"], "book": example["book"], "chapter": example["chapter"], **asdict(reply)}
            for example, reply in zip(items.scored, scores, strict=True)
        ),
    )
    _write_lines(
        target.destination / "generations.jsonl",
        (
            {
                "example": example["id"],
                "book": example["book"],
                "prompt": prompt,
                "reference": reference,
                "generated": reply.text,
                "finish_reason": reply.finish_reason,
                "loops": loop,
            }
            for example, prompt, reference, reply, loop in zip(
                items.answered, items.prompts, items.references, replies, looping, strict=True
            )
        ),
    )
    # Last: where metrics.json is, the evaluation is whole.
    write_json(
        target.destination / "metrics.json",
        {
            "eval_id": target.eval_id,
            "trial_id": target.trial_id,
            "condition": target.condition,
            "split": settings.split,
            "settings": _described(settings, target.condition, computed_in, bleu(generated, items.references)[1] if generated else None),
            "counts": {
                "available_items": len(target.examples),
                "scored_items": len(items.scored),
                "spoken_items": len(items.answered),
                "skipped_items": items.skipped[0],
                "skipped_prompts": items.skipped[1],
                "shortened_prompts": sum(one.shortened for one in items.encoded),
                "shortened_answered_prompts": items.shortened,
                "cut_replies": sum(one.cut for one in items.encoded),
                "wordless_replies": sum(not words(text) for text in generated),
                "truncated_replies": sum(reply.finish_reason == "length" for reply in replies),
                "looping_replies": sum(looping),
            },
            "metrics": metrics,
        },
    )
    return metrics


def _described(settings: EvaluationSettings, condition: str, computed_in: str, bleu_signature: str | None) -> dict[str, Any]:
    return {
        "likelihood_items": settings.likelihood_items,
        "generated_items": settings.generated_items,
        "max_new_tokens": settings.max_new_tokens,
        "max_length": settings.max_length,
        "precision": computed_in,
        "decoding": "greedy",
        "system_prompt": CONDITIONS[condition],
        "rouge": "rouge-score, Porter stemming, F1",
        "bleu": bleu_signature,
        "period_lexicon": LEXICON,
        "EVALUATION_VERSION": EVALUATION_VERSION,
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))
