"""The memory estimate: the parts' arithmetic, and torch's own record of what training keeps."""

from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.modeling.layer_sizes import KNOWN_LAYER_SIZES, LayerSizes, read_layer_sizes
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.training_memory_estimate import (
    NF4_BYTES,
    BundleTraining,
    MemoryEstimate,
    TrialTraining,
    estimate_bundle_memory,
    estimate_training_memory,
    slot_bytes,
)

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMOLLM2 = KNOWN_LAYER_SIZES["HuggingFaceTB/SmolLM2-135M-Instruct"]


def estimate_of(model: LayerSizes, **changed: object) -> MemoryEstimate:
    settings: dict[str, object] = {
        "method": "lora",
        "quantisation": "none",
        "double_quantisation": True,
        "dtype": "bfloat16",
        "attention": "sdpa",
        "r": 16,
        "target_modules": TARGETS,
        "dropout": 0.05,
        "optimizer": "adamw_torch",
        "micro_batch_size": 2,
        "max_length": 256,
        "gradient_checkpointing": False,
        "gpu": False,
    }
    return estimate_training_memory(model, TrialTraining(**{**settings, **changed}))  # type: ignore[arg-type]


def test_four_bits_with_double_quantisation_take_what_the_paper_says() -> None:
    assert pytest.approx(4.127, abs=5e-4) == 8 * NF4_BYTES
    llama = KNOWN_LAYER_SIZES["meta-llama/Llama-3.1-8B"]
    quantised = estimate_of(llama, quantisation="nf4").weights
    assert quantised == pytest.approx(llama.projected * 4.127 / 8 + 2 * llama.embedded, rel=1e-3)
    assert estimate_of(llama, quantisation="nf4", double_quantisation=False).weights > quantised


def test_an_adapter_costs_sixteen_bytes_a_number_in_all() -> None:
    found = estimate_of(SMOLLM2)
    numbers = 30 * 16 * (4 * 576 + 2 * (576 + 192) + 3 * (576 + 1536))
    assert found.adapter == 4 * numbers
    assert found.adapter + found.optimiser + found.gradients == 16 * numbers
    assert estimate_of(SMOLLM2, optimizer="adamw_8bit").optimiser == 2 * numbers


def test_full_fine_tuning_holds_everything_in_fp32_and_no_adapter() -> None:
    found = estimate_of(SMOLLM2, method="full")
    assert (found.adapter, found.weights, found.optimiser) == (0, 4 * SMOLLM2.parameters, 8 * SMOLLM2.parameters)


def test_the_base_model_as_it_is_has_weights_alone() -> None:
    assert estimate_of(SMOLLM2, method="none").total == estimate_of(SMOLLM2, method="none").weights


def test_checkpointing_and_smaller_batches_need_less_and_eager_attention_more() -> None:
    usual = estimate_of(SMOLLM2).activations
    assert estimate_of(SMOLLM2, gradient_checkpointing=True).activations < usual / 2
    assert estimate_of(SMOLLM2, micro_batch_size=1).activations < 0.6 * usual
    assert estimate_of(SMOLLM2, attention="eager").activations > usual


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_block_keeps_what_torch_records_as_saved_for_the_backward_pass(tiny: Path, dropout: float) -> None:
    import torch

    model = add_lora(load_model(tiny, "none", True, "bfloat16", "sdpa"), 8, 16, dropout, TARGETS, False, 0)
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    inputs = torch.randint(0, 400, (2, 128))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # Without the output head, whose cost is another's (TRL's).
        hidden = model.get_base_model().model(input_ids=inputs).last_hidden_state
    assert hidden.requires_grad
    measured = sum(storage.nbytes() for storage in saved.values())
    tiny_sizes = read_layer_sizes(tiny / "config.json")
    assert tiny_sizes is not None
    settings = {"r": 8, "dropout": dropout, "max_length": 128}
    # Two more blocks of the same kind show by the difference.
    one, two = (estimate_of(replace(tiny_sizes, layers=layers), **settings).activations for layers in (2, 4))
    assert two - one == pytest.approx(measured, rel=0.15)
    assert two - one >= 0.98 * measured


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_row_keeps_what_torch_records_as_saved_for_the_backward_pass(tiny: Path, dropout: float) -> None:
    import torch

    from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
    from persona_exp.modeling.multi_lora.row_tensors import Document, Row
    from persona_exp.modeling.multi_lora.shared_model import SharedModel

    model = load_model(tiny, "none", True, "bfloat16", "sdpa")
    both = SharedModel(model)
    for number in (0, 1):
        adapter = Adapter(target_projections(model, TARGETS), r=8, alpha=16, dropout=dropout, rslora=False, seed=number)
        both.join(number, adapter)
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    document = list(range(100, 228))
    row = Row([Document(slot, document, document, 0, number) for slot in (0, 1) for number in (0, 1)], torch.device("cpu"))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = both.hidden_states(row, training=True)
    assert hidden.requires_grad
    tiny_sizes = read_layer_sizes(tiny / "config.json")
    assert tiny_sizes is not None

    def activations(layers: int) -> int:
        settings = {"quantisation": "none", "double_quantisation": True, "dtype": "bfloat16", "row_tokens": 512, "longest": 128, "r": 8}
        settings |= {"target_modules": TARGETS, "dropout": dropout, "gradient_checkpointing": False, "gpu": False}
        return estimate_bundle_memory(replace(tiny_sizes, layers=layers), BundleTraining(**settings)).activations  # type: ignore[arg-type]

    # Two more blocks of the same kind show by the difference.
    difference = activations(4) - activations(2)
    assert difference == pytest.approx(sum(saved.values()), rel=0.15)
    assert difference >= 0.98 * sum(saved.values())


def test_a_slot_adds_its_own_states_and_no_row() -> None:
    settings = {"target_modules": TARGETS, "optimizer": "adamw_torch"}
    alone = estimate_of(SMOLLM2)
    assert slot_bytes(SMOLLM2, r=16, **settings) == alone.adapter + alone.optimiser + alone.gradients  # type: ignore[arg-type]
    assert slot_bytes(SMOLLM2, r=32, **settings) == 2 * slot_bytes(SMOLLM2, r=16, **settings)  # type: ignore[arg-type]


def test_what_a_bundle_shares_grows_with_its_row_and_with_a_base_in_16_bits() -> None:
    def needs(**changed: object) -> MemoryEstimate:
        settings: dict[str, object] = {"quantisation": "nf4", "double_quantisation": True, "dtype": "bfloat16", "row_tokens": 2048}
        settings |= {"longest": 512, "r": 16, "target_modules": TARGETS, "dropout": 0.05, "gradient_checkpointing": False, "gpu": True}
        return estimate_bundle_memory(KNOWN_LAYER_SIZES["Qwen/Qwen2.5-7B-Instruct"], BundleTraining(**{**settings, **changed}))  # type: ignore[arg-type]

    usual = needs()
    assert needs(dequantised=True).weights > 2 * usual.weights
    assert needs(row_tokens=4096).activations > 1.8 * usual.activations
    assert needs(longest=2048) == usual
    assert needs(longest=4096).activations == needs(row_tokens=4096).activations
    assert needs(gradient_checkpointing=True).activations < usual.activations / 3
