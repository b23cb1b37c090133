"""The memory estimate: published sizes, the parts' arithmetic, and torch's own record of what training keeps."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.modeling import memory, shape
from persona_exp.modeling.adapter import add_lora
from persona_exp.modeling.base import load_model
from persona_exp.modeling.memory import Memory, estimate
from persona_exp.modeling.shape import KNOWN, Shape, read_shape, shape_of

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMOLLM2 = KNOWN["HuggingFaceTB/SmolLM2-135M-Instruct"]


def of(model: Shape, **changed: object) -> Memory:
    asked: dict[str, object] = {
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
    return estimate(model, **{**asked, **changed})  # type: ignore[arg-type]


# As the model cards state them, in billions; of Gemma 3 the language part.
@pytest.mark.parametrize(
    ("repository", "billions"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.1345),
        ("mistralai/Mistral-7B-v0.3", 7.25),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("meta-llama/Llama-3.1-8B", 8.03),
        ("Qwen/Qwen2.5-14B", 14.77),
        ("google/gemma-2-27b", 27.23),
        ("google/gemma-3-27b-pt", 27.01),
        ("Qwen/Qwen3-32B", 32.76),
    ],
)
def test_shapes_in_the_table_have_the_published_number_of_parameters(repository: str, billions: float) -> None:
    assert KNOWN[repository].parameters / 1e9 == pytest.approx(billions, rel=0.002)


def test_every_model_that_conf_takes_from_the_hub_is_in_the_table() -> None:
    conf = Path(__file__).parents[2] / "conf" / "model"
    wanted = {
        line.split(":", 1)[1].strip()
        for path in conf.glob("*.yaml")
        if "source: hub" in (text := path.read_text(encoding="utf-8"))
        for line in text.splitlines()
        if line.startswith("location:")
    }
    assert wanted
    assert wanted <= set(KNOWN)


def test_four_bits_with_double_quantisation_take_what_the_paper_says() -> None:
    assert pytest.approx(4.127, abs=5e-4) == 8 * memory.NF4_BYTES
    llama = KNOWN["meta-llama/Llama-3.1-8B"]
    quantised = of(llama, quantisation="nf4").weights
    assert quantised == pytest.approx(llama.projected * 4.127 / 8 + 2 * llama.embedded, rel=1e-3)
    assert of(llama, quantisation="nf4", double_quantisation=False).weights > quantised


def test_an_adapter_costs_sixteen_bytes_a_number_in_all() -> None:
    found = of(SMOLLM2)
    numbers = 30 * 16 * (4 * 576 + 2 * (576 + 192) + 3 * (576 + 1536))
    assert found.adapter == 4 * numbers
    assert found.adapter + found.optimiser + found.gradients == 16 * numbers
    assert of(SMOLLM2, optimizer="adamw_8bit").optimiser == 2 * numbers


def test_full_fine_tuning_holds_everything_in_fp32_and_no_adapter() -> None:
    found = of(SMOLLM2, method="full")
    assert (found.adapter, found.weights, found.optimiser) == (0, 4 * SMOLLM2.parameters, 8 * SMOLLM2.parameters)


def test_the_base_model_as_it_is_has_weights_alone() -> None:
    assert of(SMOLLM2, method="none").total == of(SMOLLM2, method="none").weights


def test_checkpointing_and_smaller_batches_need_less_and_eager_attention_more() -> None:
    usual = of(SMOLLM2).activations
    assert of(SMOLLM2, gradient_checkpointing=True).activations < usual / 2
    assert of(SMOLLM2, micro_batch_size=1).activations < 0.6 * usual
    assert of(SMOLLM2, attention="eager").activations > usual


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
    tiny_shape = read_shape(tiny / "config.json")
    assert tiny_shape is not None
    settings = {"r": 8, "dropout": dropout, "max_length": 128}
    # Two more blocks of the same kind are told by the difference.
    one, two = (of(replace(tiny_shape, layers=layers), **settings).activations for layers in (2, 4))
    assert two - one == pytest.approx(measured, rel=0.15)
    assert two - one >= 0.98 * measured


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_a_row_keeps_what_torch_records_as_saved_for_the_backward_pass(tiny: Path, dropout: float) -> None:
    import torch

    from persona_exp.modeling.bundle.adapter import Adapter, targets
    from persona_exp.modeling.bundle.row import Document, Row
    from persona_exp.modeling.bundle.shared import Shared

    model = load_model(tiny, "none", True, "bfloat16", "sdpa")
    both = Shared(model)
    for number in (0, 1):
        adapter = Adapter(targets(model, TARGETS), r=8, alpha=16, dropout=dropout, rslora=False, seed=number)
        both.join(number, adapter)
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    document = list(range(100, 228))
    row = Row([Document(lane, document, document, 0, number) for lane in (0, 1) for number in (0, 1)], torch.device("cpu"))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = both.hidden(row, training=True)
    assert hidden.requires_grad
    tiny_shape = read_shape(tiny / "config.json")
    assert tiny_shape is not None

    def activations(layers: int) -> int:
        settings = {"quantisation": "none", "double_quantisation": True, "dtype": "bfloat16", "row_tokens": 512, "longest": 128, "r": 8}
        settings |= {"target_modules": TARGETS, "dropout": dropout, "gradient_checkpointing": False, "gpu": False}
        return memory.shared(replace(tiny_shape, layers=layers), **settings).activations  # type: ignore[arg-type]

    # Two more blocks of the same kind are told by the difference.
    told = activations(4) - activations(2)
    assert told == pytest.approx(sum(saved.values()), rel=0.15)
    assert told >= 0.98 * sum(saved.values())


def test_a_lane_adds_its_own_states_and_no_row() -> None:
    asked = {"target_modules": TARGETS, "optimizer": "adamw_torch"}
    alone = of(SMOLLM2)
    assert memory.lane(SMOLLM2, r=16, **asked) == alone.adapter + alone.optimiser + alone.gradients  # type: ignore[arg-type]
    assert memory.lane(SMOLLM2, r=32, **asked) == 2 * memory.lane(SMOLLM2, r=16, **asked)  # type: ignore[arg-type]


def test_what_a_bundle_shares_grows_with_its_row_and_with_a_base_in_16_bits() -> None:
    def needs(**changed: object) -> Memory:
        asked: dict[str, object] = {"quantisation": "nf4", "double_quantisation": True, "dtype": "bfloat16", "row_tokens": 2048}
        asked |= {"longest": 512, "r": 16, "target_modules": TARGETS, "dropout": 0.05, "gradient_checkpointing": False, "gpu": True}
        return memory.shared(KNOWN["Qwen/Qwen2.5-7B-Instruct"], **{**asked, **changed})  # type: ignore[arg-type]

    usual = needs()
    assert needs(dequantised=True).weights > 2 * usual.weights
    assert needs(row_tokens=4096).activations > 1.8 * usual.activations
    assert needs(longest=2048) == usual
    assert needs(longest=4096).activations == needs(row_tokens=4096).activations
    assert needs(gradient_checkpointing=True).activations < usual.activations / 3


def test_a_shape_is_read_from_where_the_model_is(tiny: Path) -> None:
    found = shape_of("path", str(tiny), None, None, tiny.parent)
    assert found == shape_of("tiny", "tiny", None, None, tiny.parent)
    assert (found.hidden, found.layers, found.head_size, found.tied) == (64, 2, 64, True)  # type: ignore[union-attr]


def test_the_language_part_of_a_model_that_sees_pictures_is_what_counts(tmp_path: Path) -> None:
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 9}}))
    assert read_shape(tmp_path / "config.json") == Shape(64, 128, 2, 4, 4, 16, 100, tied=True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hidden_size": "many"}'])
def test_a_config_that_tells_no_shape_gives_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert read_shape(tmp_path / "config.json") is None


def test_a_model_that_nobody_knows_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "KNOWN", {})
    assert shape_of("path", str(tmp_path / "absent"), None, None, tmp_path) is None
