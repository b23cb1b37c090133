"""Attention within documents: each as if it were alone."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.modeling.multi_lora.document_attention import FILLING, PLAIN, attend, lay_out_documents, within_documents

HEADS, KEY_HEADS, SIZE = 4, 2, 8


def states(tokens: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    return [
        torch.randn(1, heads, tokens, SIZE, generator=generator, dtype=torch.float64, requires_grad=True)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def attended(given: Sequence[torch.Tensor], lengths: list[int], **settings: Any) -> torch.Tensor:
    with within_documents(lay_out_documents(lengths)):
        ours, nothing = attend(None, *given, None, scaling=0.3, **settings)
    assert nothing is None
    return ours


def alone(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    sliding_window: int | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """The definition: each document's softmax of scaled products with the tokens up to its own, of its window alone."""
    outputs, start = [], 0
    for length in lengths:
        q, k, v = (one[0, :, start : start + length] for one in (query, key, value))
        k, v = (one.repeat_interleave(HEADS // KEY_HEADS, dim=0) for one in (k, v))
        scores = q @ k.transpose(1, 2) * 0.3
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        ago = torch.arange(length)[:, None] - torch.arange(length)
        scores = scores.masked_fill((ago < 0) | (ago >= (sliding_window or length)), -torch.inf)
        outputs.append((scores.softmax(dim=-1) @ v).transpose(0, 1))
        start += length
    return torch.cat(outputs)[None]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.one_of(st.none(), st.integers(1, 50)),
    st.one_of(st.none(), st.floats(0.1, 50)),
)
@settings(max_examples=60, deadline=None)
def test_each_document_is_as_if_alone_forward_and_backward(lengths, sliding_window, softcap):
    given_ = states(sum(lengths))
    ours = attended(given_, lengths, sliding_window=sliding_window, softcap=softcap)
    theirs = alone(*given_, lengths, sliding_window, softcap)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), given_), torch.autograd.grad((theirs * weights).sum(), given_), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"sliding_window": 37}, {"softcap": 3.0}, {"sliding_window": 37, "softcap": 3.0}])
def test_long_documents_are_as_if_alone(settings):
    lengths = [PLAIN + 30, 12]
    given_ = states(sum(lengths))
    assert torch.allclose(attended(given_, lengths, **settings), alone(*given_, lengths, **settings), atol=1e-12)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60))
def test_fillings_are_few_and_every_token_is_found(lengths):
    documents = lay_out_documents(lengths)
    assert torch.equal(documents.padded[documents.unpadded], torch.arange(sum(lengths)))
    assert len(documents.padded) == sum(number * width for number, width in documents.shapes) <= (1 + FILLING) * sum(lengths) + len(lengths)
    assert documents.longest == max(lengths)
    assert documents.ends.dtype == torch.int32
    assert documents.ends.diff().tolist() == lengths


@pytest.mark.parametrize(
    "unread", [{"s_aux": torch.zeros(HEADS)}, {"position_bias": torch.zeros(1)}, {"dropout": 0.1}, {"is_causal": False}, {"news": 1}]
)
def test_what_it_does_not_read_is_refused_by_name(unread):
    with pytest.raises(UserError, match=f"takes {next(iter(unread))}.*, which engine=fused does not compute"):
        attended(states(9), [9], **unread)


def test_what_changes_nothing_is_let_through():
    given_ = states(9)
    assert torch.equal(attended(given_, [9], position_ids=torch.arange(9), s_aux=None, use_cache=False), attended(given_, [9]))
