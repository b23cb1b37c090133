"""A small GGUF is written with the reference library, and converted back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from persona_exp.errors import UserError
from persona_exp.modeling.gguf_conversion import convert
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.tokenizer_loading import load_tokenizer


@pytest.fixture
def converted(tmp_path: Path, write_gguf) -> tuple[Path, dict[str, np.ndarray]]:
    made = write_gguf(tmp_path / "model.gguf")
    folder = tmp_path / "folder"
    folder.mkdir()
    convert(tmp_path / "model.gguf", folder)
    return folder, made


def test_every_weight_comes_back_in_its_place(converted: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, made = converted
    read = load_file(folder / "model.safetensors")
    assert read.keys() == made.keys()
    for name, weights in made.items():
        assert torch.equal(read[name], torch.from_numpy(weights).bfloat16()), name


def test_the_folder_loads_with_tied_embeddings_and_the_right_constants(converted: tuple[Path, dict[str, np.ndarray]]) -> None:
    model = load_model(converted[0], "none", True, "float32", "sdpa")
    config = model.config
    assert (config.rms_norm_eps, config.num_key_value_heads, config.tie_word_embeddings) == (1e-5, 2, True)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 2)


def test_the_tokenizer_splits_digits_off_before_words(converted: tuple[Path, dict[str, np.ndarray]]) -> None:
    tokenizer = load_tokenizer(converted[0], None)
    assert tokenizer.tokenize("<|im_start|>ab  12<|im_end|>") == ["<|im_start|>", "ab", "ĠĠ", "1", "2", "<|im_end|>"]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<|im_start|>", "<|im_end|>", "<|im_end|>")
    assert "m['content']" in tokenizer.chat_template


def test_what_is_not_known_is_refused(tmp_path: Path, write_gguf) -> None:
    write_gguf(tmp_path / "other.gguf", split="qwen2")
    with pytest.raises(UserError, match="llama/gpt2/qwen2"):
        convert(tmp_path / "other.gguf", tmp_path)
    write_gguf(tmp_path / "more.gguf", extra="blk.0.attn_q.bias")
    with pytest.raises(UserError, match=r"attn_q\.bias"):
        convert(tmp_path / "more.gguf", tmp_path)
