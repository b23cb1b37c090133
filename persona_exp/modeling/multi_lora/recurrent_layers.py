"""Layers that carry a state along the row (convolutions, state spaces, linear attention), run over one document after the other.

transformers hands `seq_idx` and `cu_seq_lens` to kernels of other packages, and leaves them unread where it computes without these. So
such a layer is given each document by itself, and starts each with no state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import torch

# Of parameters and buffers that make a layer's state: decays of state spaces and of linear attention, gates of recurrent units.
STATEFUL = ("A_log", "dt_bias", "slope_rate", "recurrent_param")


def recurrent_layers(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield the parts of the decoder layers of `model` that hold a convolution or such a parameter."""
    for layers in (module for module in model.modules() if isinstance(module, torch.nn.ModuleList)):
        for layer in layers:
            yield from (part for part in layer.children() if not isinstance(part, torch.nn.ModuleList) and _is_recurrent(part))


def _is_recurrent(part: torch.nn.Module) -> bool:
    names = [name.rsplit(".", 1)[-1] for named in (part.named_parameters(), part.named_buffers()) for name, _ in named]
    return any(isinstance(module, torch.nn.Conv1d) for module in part.modules()) or any(name in STATEFUL for name in names)


def run_by_document(
    forward: Callable[..., Any], lengths: Callable[[], Sequence[int] | None], within: Callable[[int], AbstractContextManager[None]]
) -> Callable[..., Any]:
    """Return `forward` of such a layer, called once for each document; `lengths()` are theirs (None: the input is no row), and document n
    is computed within `within(n)`."""

    def each(*given: Any, **named: Any) -> Any:
        found = lengths()
        if found is None:
            return forward(*given, **named)
        ends = [0]
        for length in found:
            ends.append(ends[-1] + length)
        outputs = []
        for number, (start, end) in enumerate(pairwise(ends)):
            with within(number):
                own = {name: _part(value, start, end, ends[-1]) for name, value in named.items()}
                outputs.append(forward(*(_part(value, start, end, ends[-1]) for value in given), **own))
        return _joined(outputs)

    return each


def _part(value: Any, start: int, end: int, tokens: int) -> Any:
    """Return a document's part of what has a place for each token of the row, [1, tokens, …]."""
    if isinstance(value, tuple):
        return tuple(_part(one, start, end, tokens) for one in value)
    if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[:2] == (1, tokens):
        return value[:, start:end]
    return value


def _joined(outputs: Sequence[Any]) -> Any:
    """Return [1, tokens, …] of all documents; of several results each, those that are no tensors are the first document's."""
    if isinstance(outputs[0], torch.Tensor):
        return torch.cat(list(outputs), dim=1)
    return tuple(
        torch.cat(of_each, dim=1) if isinstance(of_each[0], torch.Tensor) else of_each[0] for of_each in zip(*outputs, strict=True)
    )
