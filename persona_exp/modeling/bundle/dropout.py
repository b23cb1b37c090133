"""Dropout that depends on a trial's own seed, step, example, layer and token alone: neither company nor micro-batch changes it."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from persona_exp.modeling.bundle.row import Document

# Of each element's 16 random bits; a probability is met to 1/65,536, and what is kept is scaled by what it was met with.
BITS = 1 << 16


def dropped(probability: float) -> float:
    """The probability with which an element is in fact dropped."""
    return round(probability * BITS) / BITS


def kept(
    documents: Sequence[Document], *, seed: int, layer: str, inputs: int, probability: float, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """1 for each element of a layer's input that is kept, else 0: [tokens of all documents, inputs] in `dtype`, on the CPU.

    Each document has a stream of its own, of the counter-based generator Philox4x64 (Salmon et al. 2011, doi:10.1145/2063384.2063405),
    whose key is a hash of all that it may depend on; token t reads its 16-bit words number t·inputs and on.
    """
    limit = round(probability * BITS)
    mask = np.empty((sum(len(one.input_ids) for one in documents), inputs), dtype=bool)
    start = 0
    for document in documents:
        end = start + len(document.input_ids)
        key = hashlib.sha256(f"{seed}:{document.step}:{document.example}:{layer}".encode()).digest()
        elements = (end - start) * inputs
        raw = np.random.Philox(key=int.from_bytes(key[:16], "little")).random_raw(-(-elements // 4))
        np.greater_equal(raw.view("<u2")[:elements].reshape(-1, inputs), limit, out=mask[start:end])
        start = end
    if dtype != torch.bfloat16:
        return torch.from_numpy(mask).to(dtype)
    # By its bits, which is six times as fast: 1 is 0x3F80.
    return torch.from_numpy(np.multiply(mask.view(np.uint8), 0x3F80, dtype=np.int16)).view(torch.bfloat16)
