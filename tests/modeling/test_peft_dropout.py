"""LoRA's dropout in a PEFT model: what is dropped hangs on the example, and on nothing of its batch."""

from pathlib import Path

import pytest
import torch

from persona_exp.errors import UserError
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora.keyed_dropout import effective_probability, keyed_mask
from persona_exp.modeling.multi_lora.row_tensors import Document
from persona_exp.modeling.peft_dropout import AdapterDropout, key_dropout

DOCUMENTS = [Document(0, list(range(3, 3 + length)), [], step=2, example=number) for number, length in enumerate((5, 9, 7))]
NAME = "model.layers.1.mlp.down_proj"


def keyed(tiny: Path, dropout: float = 0.25):
    model = add_lora(load_model(tiny, "none", True, "float32", "sdpa"), 4, 8, dropout, ["down_proj", "q_proj"], False, 3)
    return model, key_dropout(model, 3)


def dropping(model) -> AdapterDropout:
    return model.get_base_model().get_submodule(NAME).lora_dropout["default"]


def test_each_row_drops_what_its_example_drops(tiny: Path) -> None:
    model, batch = keyed(tiny)
    x = torch.rand(3, 9, 128) + 1
    assert torch.equal(dropping(model)(x), x)
    batch.show(DOCUMENTS, 9, torch.device("cpu"))
    found = dropping(model)(x)
    for row, document in enumerate(DOCUMENTS):
        length = len(document.input_ids)
        mask = keyed_mask([document], seed=3, layer=NAME, inputs=128, probability=effective_probability(0.25)) != 0
        assert torch.allclose(found[row, :length], torch.where(mask, x[row, :length], 0) / (1 - effective_probability(0.25)))
        assert 0.1 < (~mask).float().mean() < 0.4
    assert torch.equal(dropping(model)(x.flatten(0, 1)), found.flatten(0, 1))


def test_neither_neighbours_nor_width_matter(tiny: Path) -> None:
    model, batch = keyed(tiny)
    x = torch.rand(9, 128) + 1
    batch.show(DOCUMENTS, 9, torch.device("cpu"))
    together = dropping(model)(torch.stack([x] * 3))[2, :7]
    batch.show([DOCUMENTS[2]], 7, torch.device("cpu"))
    assert torch.equal(dropping(model)(x[None, :7])[0], together)


def test_a_device_that_draws_for_itself_drops_as_the_fused_engine_does_there(tiny: Path) -> None:
    """On no real device: the masks of a bundle's row, as another device than a CPU takes them."""
    from persona_exp.modeling.multi_lora.dropout_masks import DropoutMasks, SlotDropout, mask_columns
    from persona_exp.modeling.multi_lora.flat_lora_adapter import projections
    from persona_exp.modeling.multi_lora.row_tensors import Row

    _, batch = keyed(tiny)
    batch.show(DOCUMENTS, 9, torch.device("cpu"))
    base = load_model(tiny, "none", True, "float32", "sdpa")
    fused = DropoutMasks(Row(DOCUMENTS), {0: SlotDropout(3, 0.25, [NAME])}, mask_columns(projections(base)), "cpu")
    batch._masks = DropoutMasks(Row(DOCUMENTS), {0: batch._dropping}, batch._columns, "cpu")
    places = [row * 9 + token for row, one in enumerate(DOCUMENTS) for token in range(len(one.input_ids))]
    assert torch.equal(batch.kept(NAME, 128)[places], fused.of(NAME))


def test_tokens_of_an_unknown_layout_are_refused(tiny: Path) -> None:
    model, batch = keyed(tiny)
    batch.show(DOCUMENTS, 9, torch.device("cpu"))
    with pytest.raises(UserError, match=rf"{NAME} sees 11 tokens of a batch of 3 × 9, .* set lora\.dropout=0"):
        dropping(model)(torch.rand(11, 128))


def test_without_dropout_nothing_is_put_in(tiny: Path) -> None:
    model, _ = keyed(tiny, 0.0)
    assert not any(isinstance(module, AdapterDropout) for module in model.modules())
