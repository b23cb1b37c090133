"""Dropout drawn for a few decoder layers at a time, as on a GPU: here on a CPU, which would draw otherwise."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch

from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora import dropout_masks
from persona_exp.modeling.multi_lora.dropout_masks import layer_group, mask_columns
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, projections, target_projections
from persona_exp.modeling.multi_lora.keyed_dropout import effective_probability
from persona_exp.modeling.multi_lora.lora_product import Segment, add_slices
from persona_exp.modeling.multi_lora.row_tensors import Document, Row
from persona_exp.modeling.multi_lora.shared_model import SharedModel

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def model(tiny):
    return load_model(tiny, "none", False, "float32", "sdpa")


def document(slot: int, tokens: int, example: int, step: int = 2) -> Document:
    return Document(slot, range(5, 5 + tokens), range(5, 5 + tokens), step, example)


OWN = [document(0, 40, 1), document(0, 23, 2)]


def drawn(
    model: Any,
    documents: Sequence[Document],
    *,
    names: Sequence[str] = ALL,
    other_names: Sequence[str] = ALL,
    dropout: float = 0.3,
    other_dropout: float = 0.1,
    seed: int = 7,
    recompute: bool = False,
) -> dict[str, list[torch.Tensor]]:
    """What slot 0 keeps of each module's input in a row of `documents`, once for each time that it is computed."""
    found: dict[str, list[torch.Tensor]] = {}

    def watched(x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
        for segment in segments:
            if segment.pair.seed == seed:
                assert segment.mask.dtype == torch.bool
                found.setdefault(segment.pair.module, []).append(segment.mask.clone())
        return add_slices(x, y, segments)

    bundle = SharedModel(deepcopy(model), watched, recompute)
    bundle.draws_by_layer = True
    for slot, (own, probability, key) in enumerate([(names, dropout, seed), (other_names, other_dropout, 99)]):
        adapter = Adapter(target_projections(bundle.model, own), r=2, alpha=4.0, dropout=probability, rslora=False, seed=key)
        bundle.join(slot, adapter)
    bundle.hidden_states(Row(documents), training=True).sum().backward()
    return found


def test_each_module_has_columns_of_its_own_in_its_draw(model):
    of = mask_columns(projections(model))
    shapes = projections(model)
    assert {name: one.end - one.start for name, one in of.items()} == {name: shape[0] for name, shape in shapes.items()}
    for layers in {one.layers for one in of.values()}:
        own = [one for one in of.values() if one.layers == layers]
        assert [column for one in own for column in range(one.start, one.end)] == list(range(own[0].width))
    assert of["model.layers.1.self_attn.q_proj"].layers == "model.layers.0"
    assert layer_group("model.layers.6.mlp.up_proj") == layer_group("model.layers.4.self_attn.q_proj") == "model.layers.4"
    assert layer_group("lm_head") == "lm_head"


def test_it_keeps_what_it_says_and_each_module_and_document_its_own(model):
    found = drawn(model, OWN)
    assert len(found) == 14
    kept = torch.cat([one.flatten() for (one,) in found.values()]).double()
    assert float(kept.mean()) == pytest.approx(1 - effective_probability(0.3), abs=5 * (0.3 * 0.7 / len(kept)) ** 0.5)
    same_width = [found[f"model.layers.{layer}.self_attn.{name}"][0] for layer in (0, 1) for name in ("q_proj", "k_proj", "v_proj")]
    rows = [one[:23] for one in same_width] + [one[40:] for one in same_width]
    for at, one in enumerate(rows):
        for other in rows[:at]:
            # Two draws differ in 42 %.
            assert float((one != other).double().mean()) == pytest.approx(0.42, abs=0.1)


def equal(one: dict[str, list[torch.Tensor]], other: dict[str, list[torch.Tensor]], names: Sequence[str] = ALL) -> bool:
    modules = [name for name in other if name.endswith(tuple(names))]
    assert modules
    return all(torch.equal(one[name][0], other[name][0]) for name in modules)


def test_it_is_the_same_again(model):
    assert equal(drawn(model, OWN), drawn(model, OWN))


@pytest.mark.parametrize("changed", [{"seed": 8}, {"dropout": 0.5}])
def test_seed_and_probability_change_it(model, changed):
    assert not equal(drawn(model, OWN), drawn(model, OWN, **changed))


def test_step_and_example_change_it(model):
    assert not equal(drawn(model, OWN), drawn(model, [document(0, 40, 1, step=3), document(0, 23, 2, step=3)]))
    assert not equal(drawn(model, OWN), drawn(model, [document(0, 40, 3), document(0, 23, 2)]))


@pytest.mark.parametrize("probability", [0.0, 0.1])
def test_company_changes_nothing(model, probability):
    company = [document(1, 11, 1), document(1, 9, 2)]
    alone = drawn(model, OWN)
    assert equal(drawn(model, [*company, *OWN], other_dropout=probability), alone)
    assert equal(drawn(model, [*OWN, *company], other_dropout=probability, other_names=["k_proj"]), alone)


def test_which_modules_are_targeted_changes_nothing(model):
    few = drawn(model, OWN, names=["k_proj", "down_proj"])
    assert len(few) == 4
    assert equal(drawn(model, OWN), few, ["k_proj", "down_proj"])


def test_micro_batches_and_the_order_in_a_row_change_nothing(model):
    whole, turned = drawn(model, OWN), drawn(model, OWN[::-1])
    first, second = drawn(model, OWN[:1]), drawn(model, OWN[1:])
    for name, (one,) in whole.items():
        assert torch.equal(one, torch.cat([first[name][0], second[name][0]]))
        assert torch.equal(one, torch.cat([turned[name][0][23:], turned[name][0][:23]]))


def test_a_layer_that_is_computed_again_draws_the_same(model):
    twice = drawn(model, OWN, recompute=True)
    assert all(len(one) == 2 and torch.equal(*one) for one in twice.values())
    assert equal(drawn(model, OWN), twice)


@pytest.mark.parametrize("recompute", [False, True])
def test_one_draw_serves_all_projections_of_its_layers(model, monkeypatch, recompute):
    draws = []

    def counted(rows: torch.Tensor, documents: Sequence[Document], **how: Any) -> None:
        draws.extend((how["layer"], one.example) for one in documents)
        rows.fill_(True)

    monkeypatch.setattr(dropout_masks, "draw_mask_", counted)
    drawn(model, OWN, recompute=recompute)
    # Computed again they share one too.
    assert draws == [("model.layers.0", example) for example in (1, 2)] * (1 + recompute)


def test_a_mask_for_few_modules_holds_no_others(model):
    bundle = SharedModel(deepcopy(model), add_slices)
    bundle.draws_by_layer = True
    bundle.join(0, Adapter(target_projections(model, ["q_proj"]), r=2, alpha=4.0, dropout=0.3, rslora=False, seed=1))
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.extend([tensor.untyped_storage().nbytes()] if tensor.dtype == torch.bool else [])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        bundle.hidden_states(Row(OWN), training=True)
    inputs = projections(model)["model.layers.0.self_attn.q_proj"][0]
    assert max(kept) == 63 * inputs
