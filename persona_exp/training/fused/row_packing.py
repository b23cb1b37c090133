"""Packing: which documents go into which row, without padding and without cutting one."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_exp.modeling.multi_lora.row_tensors import Document

# Tokens of a row, which go through the model at once. A longer row is no faster on a CPU.
ROW_TOKENS = 2048


def pack_rows(documents: Sequence["Document"], row_tokens: int) -> list[list["Document"]]:
    """Return `documents`, in order, in as few rows of at most `row_tokens` tokens as hold them, the longest as short as that allows: a
    short last row costs as many kernels as a full one. A document that is longer has a row of its own."""
    few = len(_filled(documents, row_tokens))
    shorter = bisect_left(range(1, row_tokens), True, key=lambda tokens: len(_filled(documents, tokens)) <= few)
    return _filled(documents, 1 + shorter)


def _filled(documents: Iterable["Document"], row_tokens: int) -> list[list["Document"]]:
    """Fill one row after the other, each with as many documents as fit."""
    found: list[list[Document]] = []
    tokens = 0
    for document in documents:
        if not found or tokens + len(document.input_ids) > row_tokens:
            found.append([])
            tokens = 0
        found[-1].append(document)
        tokens += len(document.input_ids)
    return found
