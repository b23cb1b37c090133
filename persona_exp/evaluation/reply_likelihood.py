"""The log-likelihood of the authentic reply under the model, token by token, given everything before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_exp.evaluation.batch_adapters import BatchAdapters, active_adapters, group_by_adapter
from persona_exp.evaluation.eval_mode_precision import causal, evaluating
from persona_exp.progress_bar import progress

if TYPE_CHECKING:
    import torch

    from persona_exp.modeling.supervised_token_mask import Encoded

# Rows of float32 logits at once: 256 rows of a 256,000-token vocabulary are 262 MB.
ROWS_AT_ONCE = 256
# Tokens on which a model is tried.
PROBED = 64


@dataclass(frozen=True)
class ReplyScore:
    """One reply under one model.

    `nats` is the negative log-likelihood of the `tokens` tokens of the reply's text, in natural units; `correct` of them were the
    model's first choice given the authentic tokens before. `bytes` is the UTF-8 length of that text. The fields `…_with_end`
    include the end-of-turn token: the mask that training uses.
    """

    nats: float
    tokens: int
    correct: int
    bytes: int
    nats_with_end: float
    tokens_with_end: int


def score_replies(
    model: Any,
    encoded: Sequence["Encoded"],
    texts: Sequence[str],
    *,
    end_id: int,
    batch_size: int,
    label: str = "likelihood",
    adapters: BatchAdapters | None = None,
) -> list[ReplyScore]:
    """Return the score of each of the `encoded` conversations; `texts[i]` is the text whose tokens `encoded[i].labels` supervises.

    `end_id` is the end-of-turn token, which is no text. Conversations go through the model `batch_size` at a time, longest first
    (a batch too large for the memory fails at once), padded on the right; neither the order nor the neighbours change a score
    beyond rounding. Log-probabilities are taken in float32, at supervised positions only. `label` names the progress bar.
    `adapters` decides which adapter computes which, where the model has several. Where decoder and head cannot be separated, conversations
    go through the whole model, one at a time. Raise ValueError if a conversation supervises no token.
    """
    from persona_exp.modeling.kv_cache_decoding import has_separable_head

    if len(texts) != len(encoded):
        raise ValueError(f"{len(encoded)} conversations but {len(texts)} texts.")
    order = sorted(range(len(encoded)), key=lambda index: (-len(encoded[index].input_ids), index))
    scores: dict[int, ReplyScore] = {}
    with evaluating(model), progress(label, len(order)) as meter:
        separable = True
        if order:
            with active_adapters(adapters, order[:1]):
                separable = has_separable_head(causal(model), encoded[order[0]].input_ids[:PROBED])
        batch_size = batch_size if separable else 1
        for start in range(0, len(order), batch_size):
            batch = group_by_adapter(adapters, order[start : start + batch_size])
            with active_adapters(adapters, batch):
                losses, hits = _token_losses(causal(model), [encoded[index] for index in batch], separable)
            for row, index in enumerate(batch):
                labels = [label for label in encoded[index].labels[1:] if label != -100]
                scores[index] = _reply_score(losses[row], hits[row], labels, texts[index], end_id)
            meter.advance(len(batch))
    return [scores[index] for index in range(len(encoded))]


def _reply_score(losses: list[float], hits: list[bool], labels: list[int], text: str, end_id: int) -> ReplyScore:
    inside = [position for position, label in enumerate(labels) if label != end_id]
    return ReplyScore(
        nats=sum(losses[position] for position in inside),
        tokens=len(inside),
        correct=sum(hits[position] for position in inside),
        bytes=len(text.encode()),
        nats_with_end=sum(losses),
        tokens_with_end=len(labels),
    )


def _token_losses(model: Any, batch: Sequence["Encoded"], separable: bool = True) -> tuple[list[list[float]], list[list[bool]]]:
    """Return for each conversation −ln p and whether the token was the model's first choice, for each supervised token in order."""
    import torch

    from persona_exp.modeling.output_head import last_hidden_states, logits

    length = max(len(item.input_ids) for item in batch)
    device = model.get_input_embeddings().weight.device
    # Padded positions are masked out and follow every real token, so the value that fills them is never seen.
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros(len(batch), length, dtype=torch.long)
    labels = torch.full((len(batch), length), -100, dtype=torch.long)
    for row, item in enumerate(batch):
        ids[row, : len(item.input_ids)] = torch.tensor(item.input_ids)
        mask[row, : len(item.input_ids)] = 1
        labels[row, : len(item.labels)] = torch.tensor(item.labels)
    supervised = labels[:, 1:] != -100
    if not bool(supervised.any(dim=1).all()):
        raise ValueError("A conversation without a supervised token cannot be scored.")
    with torch.no_grad():
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device), "use_cache": False}
        # What predicts a supervised token, row by row: where they can be separable no other states become logits.
        found = (last_hidden_states(model, inputs) if separable else model(**inputs).logits)[:, :-1][supervised.to(device)]
        losses, hits = _losses((lambda states: logits(model, states)) if separable else (lambda own: own), found, labels[:, 1:][supervised])
    counts = supervised.sum(dim=1).tolist()
    return [part.tolist() for part in torch.split(losses, counts)], [part.tolist() for part in torch.split(hits, counts)]


def _losses(
    logits_of: Callable[["torch.Tensor"], "torch.Tensor"], found: "torch.Tensor", targets: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return −ln p of `targets` [n] in float64 on the CPU, and whether each has the largest logit; `logits_of` makes logits of `found`."""
    import torch

    losses, hits = [], []
    for start in range(0, len(targets), ROWS_AT_ONCE):
        rows = logits_of(found[start : start + ROWS_AT_ONCE]).float()
        expected = targets[start : start + ROWS_AT_ONCE].to(rows.device)
        losses.append(torch.nn.functional.cross_entropy(rows, expected, reduction="none").double().cpu())
        hits.append((rows.argmax(dim=-1) == expected).cpu())
    return torch.cat(losses), torch.cat(hits)
