"""Dropout keyed by a trial's seed, step, example, layer and token alone: neither its bundle nor the micro-batch changes it.

On a CPU its bits are the same on every machine. Another device draws them itself (see `masks`), with PyTorch's generator of that device:
other bits, and the same ones only on hardware of its class.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from persona_exp.modeling.multi_lora.row_tensors import Document

# Of each element's 16 random bits; a probability is met to 1/65,536, and what is kept is scaled by what it was met with.
BITS = 1 << 16
# Whole numbers as wide as a floating-point one of so many bytes.
WIDE = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def effective_probability(probability: float) -> float:
    """Return the probability with which an element is in fact dropped."""
    return round(probability * BITS) / BITS


def keyed_mask(documents: Sequence[Document], *, seed: int, layer: str, inputs: int, probability: float) -> torch.Tensor:
    """Return the mask of a layer's input, all bits set for each element that is kept, else none: int8 [tokens of all documents, inputs].

    Each document has a stream of its own, of the counter-based generator Philox4x64 (Salmon et al. 2011,
    doi:10.1145/2063384.2063405), keyed by all that it may depend on; token t reads its 16-bit words number t·inputs and on.
    """
    limit = round(probability * BITS)
    mask = np.empty((sum(len(one.input_ids) for one in documents), inputs), dtype=bool)
    start = 0
    for document in documents:
        end = start + len(document.input_ids)
        elements = (end - start) * inputs
        key = int.from_bytes(_key(document, seed, layer)[:16], "little")
        raw = np.random.Philox(key=key).random_raw(-(-elements // 4))
        np.greater_equal(raw.view("<u2")[:elements].reshape(-1, inputs), limit, out=mask[start:end])
        start = end
    ones = mask.view(np.int8)
    return torch.from_numpy(np.negative(ones, out=ones))


def draw_mask_(
    mask: torch.Tensor, documents: Sequence[Document], *, seed: int, layer: str, probability: float, generator: torch.Generator
) -> None:
    """Set `mask` (bool [tokens of all documents, inputs]) to what is kept, on its device: each document is one draw of `generator`, which
    is of that device and is seeded by 63 bits of the document's key.

    Two documents of like key and different lengths need not begin alike.
    """
    start = 0
    for document in documents:
        end = start + len(document.input_ids)
        generator.manual_seed(int.from_bytes(_key(document, seed, layer)[:8], "little") >> 1)
        mask[start:end].bernoulli_(1 - effective_probability(probability), generator=generator)
        start = end


def apply_mask(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return x where `mask` keeps it, else 0. Not differentiable; on a CPU by its bits, in half the time of a product with 0 and 1."""
    if mask.dtype == torch.bool:
        return x * mask
    wide = WIDE[x.element_size()]
    return (x.view(wide) & mask).view(x.dtype)


def apply_mask_(x: torch.Tensor, mask: torch.Tensor) -> None:
    """Do as `apply_mask`, in place."""
    if mask.dtype == torch.bool:
        x.mul_(mask)
    else:
        x.view(WIDE[x.element_size()]).bitwise_and_(mask)


def _key(document: Document, seed: int, layer: str) -> bytes:
    return hashlib.sha256(f"{seed}:{document.step}:{document.example}:{layer}".encode()).digest()
