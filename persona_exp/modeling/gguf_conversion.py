"""A GGUF file → a Hugging Face folder: config, bfloat16 weights, tokenizer with chat template, generation config.

Done here and not through transformers, whose reading of GGUF changes from release to release: it uses GPT-2's pre-tokenizer
where SmolLM's splits digits off first (llama.cpp's `smollm`), which differs before numbers, and lately keeps the model packed and
refuses to save it. The bytes of our folder depend on the GGUF file and CONVERSION_VERSION alone. Knows the Llama architecture
with SmolLM's byte-level BPE, and refuses the rest.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.modeling.safetensors_writer import write_weights
from persona_exp.progress_bar import progress

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader, ReaderTensor
    from numpy.typing import NDArray

CONVERSION_VERSION = 1
KNOWN = ("llama", "gpt2", "smollm")

# GGUF's name → Hugging Face's, inside block N.
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL


def convert(gguf: Path, folder: Path) -> None:
    """Write the Hugging Face folder of a GGUF file into `folder`, which exists. UserError for one that we cannot read rightly."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    kind = tuple(_field(reader, key) for key in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"))
    if kind != KNOWN:
        raise UserError(
            f"The GGUF file holds {'/'.join(kind)} (architecture/tokenizer/pre-tokenizer), and only {'/'.join(KNOWN)} can be "
            "converted: use the model's Hugging Face folder with model.source=path."
        )
    names = {tensor.name: _hugging_face_name(tensor.name) for tensor in reader.tensors}
    tied = "output.weight" not in names
    _write_json(folder / "config.json", _config(reader, tied))
    _write_json(folder / "generation_config.json", _generation_config(reader))
    _write_tokenizer(reader, folder)
    _write_weights(reader, names, folder / "model.safetensors")


def _field(reader: "GGUFReader", key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise UserError(f"The GGUF file has no {key}: it is damaged, or not a language model.")
    return field.contents()


def _hugging_face_name(name: str) -> str:
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    block, number, part, suffix = name.split(".")
    if block != "blk" or part not in BLOCK_NAMES or suffix != "weight":
        raise UserError(f"The GGUF file holds a tensor {name} that a plain Llama model does not have.")
    return f"model.layers.{number}.{BLOCK_NAMES[part]}.weight"


def _config(reader: "GGUFReader", tied: bool) -> dict[str, Any]:
    import numpy as np

    hidden, heads = _field(reader, "llama.embedding_length"), _field(reader, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        # GGUF keeps a float32: its shortest decimal is the number that was meant (1e-05).
        "rms_norm_eps": float(str(np.float32(_field(reader, "llama.attention.layer_norm_rms_epsilon")))),
        "rope_theta": float(_field(reader, "llama.rope.freq_base")),
        "tie_word_embeddings": tied,
        "dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(_field(reader, "tokenizer.ggml.tokens")),
    }


def _generation_config(reader: "GGUFReader") -> dict[str, Any]:
    keys = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}
    return {key: _field(reader, f"tokenizer.ggml.{name}") for key, name in keys.items()}


def _write_tokenizer(reader: "GGUFReader", folder: Path) -> None:
    tokens: list[str] = _field(reader, "tokenizer.ggml.tokens")
    kinds: list[int] = _field(reader, "tokenizer.ggml.token_type")
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in _field(reader, "tokenizer.ggml.merges"))]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    named = {
        f"{name}_token": tokens[_field(reader, f"tokenizer.ggml.{key}_token_id")]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    write_tokenizer(
        folder,
        tokens,
        merges,
        special,
        named,
        _field(reader, "tokenizer.chat_template"),
        max_length=_field(reader, "llama.context_length"),
        split_digits=True,
    )


def write_tokenizer(
    folder: Path,
    tokens: Sequence[str],
    merges: Sequence[tuple[str, str]],
    special: Sequence[str],
    named: dict[str, str],
    chat_template: str,
    max_length: int,
    split_digits: bool,
) -> None:
    """Write a byte-level BPE tokenizer into `folder`: tokenizer.json, tokenizer_config.json, chat_template.jinja.

    `tokens` in the order of their ids; `special` those never split or merged; `named` bos_token, eos_token, and so on.
    `split_digits` gives every digit a token of its own, as SmolLM's pre-tokenizer does.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=list(merges)))
    splits: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    splits.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        **named,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")


def _write_weights(reader: "GGUFReader", names: dict[str, str], path: Path) -> None:
    """Dequantise every tensor; order and shapes are GGUF's, the latter reversed, for it counts dimensions from the inside."""
    tensors = {names[tensor.name]: tensor for tensor in reader.tensors}
    heads = {"q_proj": _field(reader, "llama.attention.head_count"), "k_proj": _field(reader, "llama.attention.head_count_kv")}
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    with progress("Converting the base model", len(tensors)) as meter:

        def values(name: str) -> "NDArray[np.float32]":
            meter.advance()
            return _values(tensors[name], heads.get(name.split(".")[-2]))

        write_weights(path, shapes, values)


def _values(tensor: "ReaderTensor", heads: int | None) -> "NDArray[np.float32]":
    """Return the tensor in float32. llama.cpp keeps the rows of the query and key projections (`heads` given) with the two halves
    of each head interleaved, for its rotary embedding; Hugging Face's rotates halves, so they are put apart again."""
    import numpy as np
    from gguf.quants import dequantize

    values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    if heads is None:
        return values
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
