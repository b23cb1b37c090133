"""Attention within documents: each as if it were alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.modeling.bundle.attention import FILLING, attend, documents_of

HEADS, KEY_HEADS, SIZE = 4, 2, 8


def states(tokens: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    return [
        torch.randn(1, heads, tokens, SIZE, generator=generator, dtype=torch.float64, requires_grad=True)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def alone(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The definition: each document's softmax of scaled products with the tokens up to its own."""
    outputs, start = [], 0
    for length in lengths:
        q, k, v = (one[0, :, start : start + length] for one in (query, key, value))
        k, v = (one.repeat_interleave(HEADS // KEY_HEADS, dim=0) for one in (k, v))
        scores = q @ k.transpose(1, 2) * 0.3 + torch.full((length, length), -torch.inf, dtype=q.dtype).triu(1)
        outputs.append((scores.softmax(dim=-1) @ v).transpose(0, 1))
        start += length
    return torch.cat(outputs)[None]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_each_document_is_as_if_alone_forward_and_backward(lengths):
    given_ = states(sum(lengths))
    ours, nothing = attend(None, *given_, None, documents=documents_of(lengths), scaling=0.3)
    assert nothing is None
    theirs = alone(*given_, lengths)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), given_), torch.autograd.grad((theirs * weights).sum(), given_), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-12)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60))
def test_fillings_are_few_and_every_token_is_found(lengths):
    documents = documents_of(lengths)
    assert torch.equal(documents.slots[documents.back], torch.arange(sum(lengths)))
    assert len(documents.slots) == sum(number * width for number, width in documents.shapes) <= (1 + FILLING) * sum(lengths) + len(lengths)
    assert documents.longest == max(lengths)
    assert documents.ends.dtype == torch.int32
    assert documents.ends.diff().tolist() == lengths


def test_what_it_cannot_compute_is_refused():
    query, key, value = states(9)
    with pytest.raises(UserError, match="engine=sft"):
        attend(None, query, key, value, None, documents=documents_of([9]), softcap=30.0)
    with pytest.raises(UserError, match="window of 8"):
        attend(None, query, key, value, None, documents=documents_of([9]), sliding_window=8)
