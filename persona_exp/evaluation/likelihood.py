"""How probable the authentic reply is under the model, token by token, given everything before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_exp.evaluation.mode import evaluating
from persona_exp.evaluation.voices import Voices, ordered, speaking
from persona_exp.progress import progress

if TYPE_CHECKING:
    import torch

    from persona_exp.modeling.chat import Encoded

# Rows of logits turned into float32 at once: 256 rows of a 256,000-token vocabulary are 262 MB.
ROWS_AT_ONCE = 256


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


def score(
    model: Any,
    encoded: Sequence["Encoded"],
    texts: Sequence[str],
    *,
    end_id: int,
    batch_size: int,
    what: str = "likelihood",
    voices: Voices | None = None,
) -> list[ReplyScore]:
    """Score `encoded` conversations; `texts[i]` is the text whose tokens `encoded[i].labels` supervises.

    `end_id` is the end-of-turn token, which is no text. Conversations go through the model `batch_size` at a time, longest first
    (a batch too large for the memory fails at once), padded on the right; neither the order nor the company changes a score
    beyond rounding. Log-probabilities are taken in float32, at supervised positions only. `what` names the progress bar.
    `voices` says which adapter computes which, where the model has several. ValueError when a conversation supervises no token.
    """
    if len(texts) != len(encoded):
        raise ValueError(f"{len(encoded)} conversations but {len(texts)} texts.")
    order = sorted(range(len(encoded)), key=lambda index: (-len(encoded[index].input_ids), index))
    scores: dict[int, ReplyScore] = {}
    with evaluating(model), progress(what, len(order)) as meter:
        for start in range(0, len(order), batch_size):
            batch = ordered(voices, order[start : start + batch_size])
            with speaking(voices, batch):
                losses, hits = _token_losses(model, [encoded[index] for index in batch])
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


def _token_losses(model: Any, batch: Sequence["Encoded"]) -> tuple[list[list[float]], list[list[bool]]]:
    """For each conversation: −ln p and whether the token was the model's first choice, for each supervised token in order."""
    import torch

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
    targets = labels[:, 1:]
    supervised = targets != -100
    if not bool(supervised.any(dim=1).all()):
        raise ValueError("A conversation without a supervised token cannot be scored.")
    # Only the positions that predict a supervised token in some row become logits: the vocabulary is the widest layer there is.
    kept = supervised.any(dim=0).nonzero()[:, 0]
    with torch.no_grad():
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), logits_to_keep=kept.to(device), use_cache=False).logits
    wanted = supervised[:, kept]
    rows = logits[wanted.to(logits.device)]
    losses, hits = _losses(rows, targets[:, kept][wanted].to(rows.device))
    counts = supervised.sum(dim=1).tolist()
    return [part.tolist() for part in torch.split(losses, counts)], [part.tolist() for part in torch.split(hits, counts)]


def _losses(logits: "torch.Tensor", targets: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """−ln p of `targets` [n] under `logits` [n, vocabulary] in float64 on the CPU, and whether each has the largest logit."""
    import torch

    losses, hits = [], []
    for start in range(0, len(targets), ROWS_AT_ONCE):
        rows, wanted = logits[start : start + ROWS_AT_ONCE].float(), targets[start : start + ROWS_AT_ONCE]
        losses.append(torch.nn.functional.cross_entropy(rows, wanted, reduction="none").double().cpu())
        hits.append((rows.argmax(dim=-1) == wanted).cpu())
    return torch.cat(losses), torch.cat(hits)
