"""engine=sft's loss: of a padded batch of conversations, through whatever head its model has."""

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from persona_exp.errors import UserError
from persona_exp.modeling import output_head
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL
from persona_exp.training.router_balancing_loss import router_loss

# Logits held at once: 340 rows of a vocabulary of 49,152, or 110 of 152,064, take 67 MB in float32, and four times that in all.
ENTRIES = 512 * 32768
# Tokens of the check of how a model is computed.
PROBED = 64

Batch = dict[str, torch.Tensor]


class ReplyLoss:
    """The loss of the supervised tokens under `model` (transformers' causal language model, which may hold PEFT's layers).

    Logits are those of the model's own forward: of the supervised tokens alone where `tokens` (ids of a document) show that its decoder and
    head are separable, else of all. Modules compute as in evaluation; only those that are to compute activations again are in training
    mode. Raise UserError where `tokens` have other logits like that than in evaluation.

    With `router_coefficient` that times the load-balancing loss of the model's experts is added, taken over the batch.
    """

    def __init__(self, model: Any, tokens: torch.Tensor, router_coefficient: float = 0.0) -> None:
        self._model, self._router_coefficient = model, router_coefficient
        self._rows = max(1, ENTRIES // int(model.config.get_text_config().vocab_size))
        self._separable = self._is_separable(tokens[None, :PROBED]) and not router_coefficient

    def __call__(self, batch: Batch, normaliser: "torch.Tensor | int", passes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (the summed nats of the batch's supervised tokens over `normaliser`, how many of them are the first choice), of
        `input_ids`, `attention_mask` and `labels` [rows, width]. Of router losses, which are a batch's mean, the step's `passes` have equal
        parts."""
        self._settle()
        labels = batch["labels"][:, 1:]
        supervised = labels != IGNORED_LABEL
        targets = labels[supervised]
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
        if self._separable:
            states = output_head.last_hidden_states(self._model, inputs)[:, :-1][supervised]
            nats, right = self._of_states(states, targets)
            return nats / normaliser, right
        routed = {"output_router_logits": True} if self._router_coefficient else {}
        output = self._model(**inputs, **routed)
        nats, right = _nats(output.logits[:, :-1][supervised], targets)
        loss = nats / normaliser
        if self._router_coefficient:
            loss = loss + self._router_coefficient * router_loss(output) / passes
        return loss, right

    @torch.no_grad()
    def refuse_padding(self, tokens: torch.Tensor, padding: int) -> None:
        """Raise UserError where a document, the first half of `tokens` (ids), has other logits beside a longer one, to whose length it is
        filled up with the id `padding`. Not checked in half precision, where a rounding may change a router's choice."""
        if self._model.dtype.itemsize < 4:
            return
        whole = tokens[:PROBED]
        length = max(1, len(whole) // 2)
        filled = torch.cat([whole[:length], whole.new_full((len(whole) - length,), padding)])
        mask = torch.stack([torch.ones_like(whole), (torch.arange(len(whole), device=whole.device) < length).long()])
        self._settle()
        alone = self._model(input_ids=whole[None, :length], use_cache=False).logits[0].double()
        beside = self._model(input_ids=torch.stack([whole, filled]), attention_mask=mask, use_cache=False).logits[1, :length]
        if not output_head.logits_agree(beside, alone):
            raise UserError(
                f"{type(self._model).__name__} computes a conversation otherwise beside a longer one: set train.micro_batch_size=1."
            )

    def _of_states(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(states) <= self._rows:
            return self._piece(states, targets)
        nats, right = states.new_zeros((), dtype=torch.promote_types(states.dtype, torch.float32)), targets.new_zeros(())
        for start in range(0, len(states), self._rows):
            rows = slice(start, start + self._rows)
            some, some_right = checkpoint(self._piece, states[rows], targets[rows], use_reentrant=False)
            nats, right = nats + some, right + some_right
        return nats, right

    def _piece(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _nats(output_head.logits(self._model, states), targets)

    def _settle(self) -> None:
        """Set the modes of evaluation, but for modules that compute their activations again, which they do in training mode alone."""
        for module in self._model.modules():
            module.training = bool(getattr(module, "gradient_checkpointing", False))

    @torch.no_grad()
    def _is_separable(self, tokens: torch.Tensor) -> bool:
        model = self._model
        own = model.eval()(input_ids=tokens, use_cache=False).logits[0].double()
        if not own.isfinite().all():
            raise UserError(
                f"{type(model).__name__} computes no numbers in {str(model.dtype).removeprefix('torch.')}: use another model.dtype."
            )
        self._settle()
        if output_head.is_separable(model, tokens, own):
            return True
        if output_head.logits_agree(model(input_ids=tokens, use_cache=False).logits[0], own):
            return False
        raise UserError(f"{type(model).__name__} computes something else in training than in evaluation, which engine=sft does not train.")


def _nats(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    right = (precise.detach().argmax(dim=-1) == targets).sum()
    return torch.nn.functional.cross_entropy(precise, targets, reduction="sum"), right
