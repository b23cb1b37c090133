"""Keyed dropout: what it depends on, and what not."""

from functools import partial

import pytest
import torch

from persona_exp.modeling.multi_lora.keyed_dropout import apply_mask, apply_mask_, draw_mask_, effective_probability, keyed_mask
from persona_exp.modeling.multi_lora.row_tensors import Document


def document(tokens: int = 20, **where: int) -> Document:
    return Document(**{"slot": 0, "step": 3, "example": 5, **where}, input_ids=range(tokens), labels=range(tokens))


def counted(documents, **how) -> torch.Tensor:
    found = keyed_mask(documents, inputs=50, **how)
    assert found.dtype == torch.int8
    assert set(found.unique().tolist()) <= {0, -1}
    return -found


def drawn(documents, device: str = "cpu", **how) -> torch.Tensor:
    mask = torch.empty((sum(len(one.input_ids) for one in documents), 50), dtype=torch.bool, device=device)
    draw_mask_(mask, documents, generator=torch.Generator(device), **how)
    return mask.cpu().to(torch.int8)


# As a CPU draws, and as any other device does: here with the CPU's own generator, and with a GPU's where there is one.
WAYS = [counted, drawn, *([partial(drawn, device="cuda")] if torch.cuda.is_available() else [])]


@pytest.fixture(params=WAYS)
def mask(request):
    def of(*documents: Document, seed: int = 1, layer: str = "q", probability: float = 0.1) -> torch.Tensor:
        return request.param(documents, seed=seed, layer=layer, probability=probability)

    return of


def test_company_and_place_in_the_row_change_nothing(mask):
    alone = mask(document())
    assert torch.equal(mask(document(7, example=1), document(slot=4), document(3, example=2))[7:27], alone)


def test_a_longer_document_begins_alike_on_a_cpu():
    longer, shorter = (keyed_mask([document(tokens)], seed=1, layer="q", inputs=50, probability=0.1) for tokens in (30, 20))
    assert torch.equal(longer[:20], shorter)


@pytest.mark.parametrize("changed", [{"step": 4}, {"example": 6}])
def test_step_and_example_change_it(mask, changed):
    assert unlike(mask(document(**changed)), mask(document()))


@pytest.mark.parametrize("changed", [{"seed": 2}, {"layer": "k"}])
def test_seed_and_layer_change_it(mask, changed):
    assert unlike(mask(document(), **changed), mask(document()))


def unlike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """As far apart as two draws of 1,000 elements are: 18 % differ, give or take five standard deviations."""
    return 120 <= int((one != other).sum()) <= 240


def test_documents_of_a_row_are_unlike_each_other(mask):
    found = mask(document(), document(example=6))
    assert unlike(found[:20], found[20:])


@pytest.mark.parametrize("probability", [0.0, 0.05, 0.5, 0.95])
def test_it_drops_what_it_says(mask, probability):
    found = 1 - mask(document(4000), probability=probability).double().mean()
    # Five standard deviations of a share of 200,000 draws.
    assert float(found) == pytest.approx(
        effective_probability(probability), abs=5 * (probability * (1 - probability) / 200_000) ** 0.5 + 1e-12
    )
    assert effective_probability(probability) == pytest.approx(probability, abs=1 / 65536)


def test_a_draw_leaves_the_global_generator_alone(mask):
    before = torch.get_rng_state()
    mask(document())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_what_is_kept_stays_and_the_rest_is_zero(dtype):
    x = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = keyed_mask([document()], seed=1, layer="q", inputs=50, probability=0.4)
    expected = torch.where(found == 0, torch.zeros((), dtype=dtype), x)
    # As a CPU has them, and as a device does.
    for mask in (found, found.ne(0)):
        left = apply_mask(x, mask)
        assert left.dtype == dtype
        assert torch.equal(left, expected)
        # Segment of a longer row, as it lies there.
        row = torch.cat([x, x])
        apply_mask_(row[20:], mask)
        assert torch.equal(row, torch.cat([x, expected]))


def test_its_bits_are_the_same_tomorrow():
    found = keyed_mask([document(4)], seed=1, layer="q", inputs=50, probability=0.3)
    assert found.ne(0).sum(dim=1).tolist() == GOLDEN


# Philox4x64 keyed by SHA-256("1:3:5:q").
GOLDEN = [36, 34, 37, 32]
