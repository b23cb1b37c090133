"""Evaluation: a model, held-out replies and conditions in; metrics.json, items.jsonl and generations.jsonl of each out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from persona_exp.counted_noun import counted
from persona_exp.evaluation.batch_adapters import ActivateAdapters, BatchAdapters
from persona_exp.evaluation.eval_mode_precision import evaluating, on_cpu, precision
from persona_exp.evaluation.evaluation_files import write_evaluation
from persona_exp.evaluation.evaluation_items import PreparedItems, prepare_items
from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget
from persona_exp.evaluation.greedy_generation import GenerationSettings, Reply, generate_replies
from persona_exp.evaluation.reply_likelihood import ReplyScore, score_replies

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# On a GPU the size of a batch shows in the last digits, so it is no setting: replies scored, and prompts answered, at once.
GPU_SCORED, GPU_ANSWERED = 8, 24

# A target's metrics by name, or the error that is its own alone.
Measured = dict[str, dict[str, Any]] | Exception
# Targets that share batches, each with its items.
Group = Sequence[tuple[EvaluationTarget, PreparedItems]]
Item = TypeVar("Item")


@dataclass(frozen=True)
class EvaluatedModel:
    """A causal language model with its tokenizer. Within `activate_adapters(slots)` it computes the rows of a batch with the adapters of
    these slots; None where it has one at most."""

    model: Any
    tokenizer: "PreTrainedTokenizerBase"
    activate_adapters: ActivateAdapters | None = None


@dataclass(frozen=True)
class Batches:
    """The numbers of the targets whose items share batches, and how many items are scored and answered at once."""

    groups: Sequence[Sequence[int]]
    scored: int
    answered: int


def evaluate(evaluated: EvaluatedModel, targets: Sequence[EvaluationTarget], settings: EvaluationSettings) -> list[Measured]:
    """Measure each of `targets` and write its three files into its staging folder. Return the metrics of each, or the error that is its own
    alone and for which none of its files is whole: UserError if there is nothing to evaluate, FloatingPointError if scores are not finite,
    ImpossibleMetric if a number cannot be.

    On a CPU all is computed in float32, which makes batch and neighbours matter to the seventh digit at most, and the targets share batches
    of `settings.batch_size`. On a GPU each has batches of its own, of `GPU_SCORED` and `GPU_ANSWERED` and in an order that its examples
    alone decide. A reply is scored in full where it fits into `max_length` tokens; of one that was cut, the tokens that are left are scored
    against the bytes that they spell, and `cut_replies` counts it.
    """
    results: dict[int, Measured] = {}
    prepared: dict[int, PreparedItems] = {}
    for number, target in enumerate(targets):
        try:
            prepared[number] = prepare_items(evaluated.tokenizer, target, settings)
        except Exception as error:
            results[number] = error
    batches = _batches(evaluated.model, settings, list(prepared))
    with evaluating(evaluated.model):
        for numbers in batches.groups:
            group = [(targets[number], prepared[number]) for number in numbers]
            scores = _score(evaluated, group, settings, batches.scored)
            faults = [_not_finite(one) for one in scores]
            sound = [place for place, fault in enumerate(faults) if fault is None]
            replies = _answer(evaluated, [group[place] for place in sound], settings, batches.answered) if sound else []
            results |= {number: fault for number, fault in zip(numbers, faults, strict=True) if fault}
            for place, own in zip(sound, replies, strict=True):
                target, items = group[place]
                try:
                    results[numbers[place]] = write_evaluation(target, settings, items, scores[place], own, precision(evaluated.model))
                except Exception as error:
                    results[numbers[place]] = error
    return [results[number] for number in range(len(targets))]


def _batches(model: Any, settings: EvaluationSettings, numbers: Sequence[int]) -> Batches:
    if on_cpu(model):
        return Batches([numbers] if numbers else [], settings.batch_size, settings.batch_size * len(numbers))
    print(
        f"On a GPU {GPU_SCORED} replies are scored and {GPU_ANSWERED} prompts answered at once, of one trial after the other: "
        "evaluation.batch_size is for a CPU and does nothing here.",
        flush=True,
    )
    return Batches([[number] for number in numbers], GPU_SCORED, GPU_ANSWERED)


def _score(evaluated: EvaluatedModel, group: Group, settings: EvaluationSettings, batch_size: int) -> list[list[ReplyScore]]:
    from persona_exp.modeling.chat_template import end_of_turn_id

    counts = [len(items.encoded) for _, items in group]
    scores = score_replies(
        evaluated.model,
        [one for _, items in group for one in items.encoded],
        [one for _, items in group for one in items.texts],
        end_id=end_of_turn_id(evaluated.tokenizer, settings.end_of_turn),
        batch_size=batch_size,
        label=f"likelihood ({_label(group)})",
        adapters=_adapters(evaluated, group, counts),
    )
    return _split(scores, counts)


def _answer(evaluated: EvaluatedModel, group: Group, settings: EvaluationSettings, batch_size: int) -> list[list[Reply]]:
    counts = [len(items.prompts) for _, items in group]
    replies = generate_replies(
        evaluated.model,
        evaluated.tokenizer,
        [one for _, items in group for one in items.prompts],
        GenerationSettings(
            max_length=settings.max_length,
            system_role=settings.system_role,
            end_of_turn=settings.end_of_turn,
            max_new_tokens=settings.max_new_tokens,
            batch_size=batch_size,
        ),
        label=f"generation ({_label(group)})",
        adapters=_adapters(evaluated, group, counts),
    )
    return _split(replies, counts)


def _adapters(evaluated: EvaluatedModel, group: Group, counts: Sequence[int]) -> BatchAdapters | None:
    if evaluated.activate_adapters is None:
        return None
    slots = [target.slot for (target, _), count in zip(group, counts, strict=True) for _ in range(count)]
    return BatchAdapters(slots, evaluated.activate_adapters)


def _label(group: Group) -> str:
    return group[0][0].condition if len(group) == 1 else f"{len(group)} together"


def _split(each: Sequence[Item], counts: Sequence[int]) -> list[list[Item]]:
    """Return `each` in pieces of these sizes."""
    rest = iter(each)
    return [list(islice(rest, count)) for count in counts]


def _not_finite(scores: Sequence[ReplyScore]) -> FloatingPointError | None:
    wrong = sum(not math.isfinite(one.nats_with_end) for one in scores)
    if not wrong:
        return None
    return FloatingPointError(
        f"{wrong} of {counted(len(scores), 'reply')} {'has' if wrong == 1 else 'have'} a likelihood that is not finite: "
        "the weights, or what they compute, are out of range; train with a lower optim.lr"
    )
