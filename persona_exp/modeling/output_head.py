"""The logits of hidden states, as the model's own forward makes them: scaled, capped, with a bias, or whatever else its family does."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from persona_exp.errors import UserError

# How far logits may be from those of the model's own forward, relative to their norm: rounding, by the size of its numbers in bytes.
NEAR = {2: 2e-2, 4: 1e-4, 8: 1e-9}


class _States:
    """The output of a base model with its hidden states alone: every other field is None."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits [n, vocabulary] of the normalised last hidden states `hidden` [n, hidden size] of a causal language model.

    Its forward is run with these in the place of its decoder's output, so that nothing of the head is known by name. Raise UserError
    if the forward calls no decoder of its own for them.
    """
    placeholder = torch.zeros((1, len(hidden)), dtype=torch.long, device=hidden.device)
    called: list[bool] = []
    decoders = dict.fromkeys(one for one in (model.base_model, model.get_decoder()) if one is not model)
    with ExitStack() as replaced:
        for decoder in decoders:
            replaced.enter_context(_returns(decoder, hidden[None], called))
        output = model(input_ids=placeholder, use_cache=False)
    if not called:
        raise UserError(f"{type(model).__name__} does not part its decoder from its output head.")
    made: torch.Tensor = output.logits[0]
    return made


@torch.no_grad()
def is_separable(model: Any, tokens: torch.Tensor, own: torch.Tensor) -> bool:
    """Return whether the decoder of `model`, called by itself with `tokens` [1, n], has the states whose `logits` are `own`
    [n, vocabulary], those of the model's whole forward."""
    try:
        states = last_hidden_states(model, {"input_ids": tokens, "use_cache": False})[0]
        return logits_agree(logits(model, states), own, states.element_size())
    except torch.OutOfMemoryError:
        raise
    except (UserError, TypeError, AttributeError, IndexError, ValueError, RuntimeError):
        # Its base model is no decoder that can be called by itself.
        return False


def last_hidden_states(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Return the normalised last hidden states [rows, width, hidden size] of a model whose head is separable."""
    states: torch.Tensor = model.base_model(**inputs)[0]
    return states


def logits_agree(found: torch.Tensor, own: torch.Tensor, size: int = 8) -> bool:
    """Return whether the logits `found` are the model's `own` but for rounding; numbers that they come from have `size` bytes at least."""
    if found.shape != own.shape:
        return False
    return bool((found.double() - own.double()).norm() <= NEAR[min(size, found.element_size())] * own.double().norm())


@contextmanager
def _returns(decoder: Any, hidden: torch.Tensor, called: list[bool]) -> Iterator[None]:
    """Within this block `decoder` returns `hidden`, and notes in `called` that it was called."""

    def replacement(*_: Any, **__: Any) -> _States:
        called.append(True)
        return _States(hidden)

    # A hook of accelerate's may stand in the method's place.
    before = vars(decoder).get("forward")
    decoder.forward = replacement
    try:
        yield
    finally:
        if before is None:
            del decoder.forward
        else:
            decoder.forward = before
