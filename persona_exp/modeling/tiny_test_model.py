"""A random small Llama-like model made on the spot: the whole program runs on it in seconds, and learns nothing worth reading.

Sizes are multiples of 64, so that its projections can be quantised to NF4 on a CPU. Numbers come from numpy's frozen legacy
generator and the tokenizer's merges from a word list, so the files are the same everywhere.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.atomic_files import digest
from persona_exp.modeling.gguf_conversion import write_tokenizer
from persona_exp.modeling.model_cache import build_once
from persona_exp.modeling.safetensors_writer import write_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Frequent words of English and of chat templates; each becomes one token after a space, built letter by letter.
WORDS = (
    "the of and to a in that he was it his is with as had for I you at not be her on by which him have from but she all they we"
    " were my this are me one their so an said or them will would could no when who what if more there been then up out do your"
    " man now our upon such time very little some than did any know see must should come before old good how Holmes Watson"
    " system user assistant"
)
RECIPE = {
    "version": 1,
    "seed": 0,
    "words": WORDS,
    "special": list(SPECIAL),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "max_position_embeddings": 2048,
}


def tiny_digest() -> str:
    """Return the identity of the model (64 hex digits): its recipe's."""
    return digest({"source": "tiny", "recipe": RECIPE})


def fetch_tiny(cache: Path) -> Path:
    """Return the model's Hugging Face folder, built once into `cache`."""
    return build_once(cache, f"tiny-{tiny_digest()[:12]}", build_tiny)


def build_tiny(folder: Path) -> None:
    """Write the model into `folder`, which exists."""
    tokens, merges = _vocabulary()
    template = (Path(__file__).parent / "templates" / "chatml.jinja").read_text(encoding="utf-8")
    named = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    write_tokenizer(folder, tokens, merges, SPECIAL, named, template, max_length=2048, split_digits=False)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {key: value for key, value in RECIPE.items() if key not in ("version", "seed", "words", "special")}
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(tokens),
        **sizes,
        **ids,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps(ids, indent=2) + "\n", encoding="utf-8")
    _write_random(folder / "model.safetensors", config)


def _write_random(path: Path, config: dict[str, Any]) -> None:
    """Write projections N(0, 1/inputs) and unit norms, so that the logits have a spread of about one and adapters can move them."""
    import numpy as np

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries, keys = (config[f"num_{kind}_heads"] * config["head_dim"] for kind in ("attention", "key_value"))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.input_layernorm.weight": (hidden,), f"{prefix}.post_attention_layernorm.weight": (hidden,)}
        rows = {"q": queries, "k": keys, "v": keys}
        shapes |= {f"{prefix}.self_attn.{name}_proj.weight": (size, hidden) for name, size in rows.items()}
        shapes |= {f"{prefix}.self_attn.o_proj.weight": (hidden, queries), f"{prefix}.mlp.down_proj.weight": (hidden, inner)}
        shapes |= {f"{prefix}.mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
    shapes["model.norm.weight"] = (hidden,)
    generator = np.random.RandomState(RECIPE["seed"])  # type: ignore[arg-type]

    def tensor(name: str) -> "NDArray[np.float32]":
        shape = shapes[name]
        if len(shape) == 1:
            return np.ones(shape, dtype=np.float32)
        return np.asarray(generator.standard_normal(shape) / np.sqrt(shape[1]), dtype=np.float32)

    write_weights(path, shapes, tensor)


def _vocabulary() -> tuple[list[str], list[tuple[str, str]]]:
    """Return the tokens in the order of their ids (special, the 256 bytes, then those of the words' merges) and the merges."""
    from tokenizers import pre_tokenizers

    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in WORDS.split():
        made = "Ġ"  # A space, as byte-level BPE writes it.
        for letter in word:
            if made + letter not in tokens:
                tokens.append(made + letter)
                merges.append((made, letter))
            made += letter
    return tokens, merges
