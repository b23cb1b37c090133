"""Keyed dropout: what it depends on, and what not."""

import pytest
import torch

from persona_exp.modeling.bundle.dropout import dropped, kept
from persona_exp.modeling.bundle.row import Document


def document(tokens: int = 20, **where: int) -> Document:
    return Document(**{"lane": 0, "step": 3, "example": 5, **where}, input_ids=range(tokens), labels=range(tokens))


def mask(*documents: Document, seed: int = 1, layer: str = "q", probability: float = 0.1) -> torch.Tensor:
    return kept(documents, seed=seed, layer=layer, inputs=50, probability=probability)


def test_company_and_place_in_the_row_change_nothing():
    alone = mask(document())
    assert torch.equal(mask(document(7, example=1), document(lane=4), document(3, example=2))[7:27], alone)


def test_a_longer_document_begins_alike():
    assert torch.equal(mask(document(30))[:20], mask(document(20)))


@pytest.mark.parametrize("changed", [{"step": 4}, {"example": 6}])
def test_step_and_example_change_it(changed):
    assert not torch.equal(mask(document(**changed)), mask(document()))


@pytest.mark.parametrize("changed", [{"seed": 2}, {"layer": "k"}])
def test_seed_and_layer_change_it(changed):
    assert not torch.equal(mask(document(), **changed), mask(document()))


@pytest.mark.parametrize("probability", [0.0, 0.05, 0.5, 0.95])
def test_it_drops_what_it_says(probability):
    found = 1 - mask(document(4000), probability=probability).double().mean()
    # Five standard deviations of a share of 200,000 draws.
    assert float(found) == pytest.approx(dropped(probability), abs=5 * (probability * (1 - probability) / 200_000) ** 0.5 + 1e-12)
    assert dropped(probability) == pytest.approx(probability, abs=1 / 65536)


def test_its_bits_are_the_same_tomorrow():
    assert mask(document(4), probability=0.3).int().sum(dim=1).tolist() == GOLDEN


# Philox4x64 keyed by SHA-256("1:3:5:q").
GOLDEN = [36, 34, 37, 32]
