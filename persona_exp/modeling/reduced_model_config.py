"""A model's configuration with everything that has a size made small, and everything that decides on the arithmetic kept.

Each kind of layer stays, and so do windows, caps, scales, biases, ropes and groupings: a model of it computes as the large one does, with
random weights, in a fraction of a second. Sizes are known by the names that transformers' configurations give them; a configuration
whose sizes do not fit each other afterwards makes no model, which its caller must take for an answer.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Below so many numbers in all a model is small as it is: only its windows are reduced.
SMALL = 4_000_000
HIDDEN, HEAD, VOCABULARY, WINDOW = 64, 16, 160, 8
HEADS = HIDDEN // HEAD

# name → size; applied where the configuration has a number of that name.
SIZES: Mapping[str, int] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "lru_width", "embedding_size", "ple_embed_dim"), HIDDEN),
    **dict.fromkeys(("hidden_size_per_layer_input", "index_head_dim", "router_hidden_size"), HEAD),
    **dict.fromkeys(
        (
            "intermediate_size",
            "ffn_dim",
            "n_inner",
            "ffn_hidden_size",
            "dense_intermediate_size",
            "intermediate_size_mlp",
            "shared_intermediate_size",
            "mamba_d_ssm",
        ),
        2 * HIDDEN,
    ),
    **dict.fromkeys(
        (
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "shared_experts_intermediate_size",
            "moe_shared_expert_intermediate_size",
            "expert_ffn_hidden_size",
        ),
        HIDDEN // 2,
    ),
    **dict.fromkeys(
        (
            "head_dim",
            "swa_head_dim",
            "global_head_dim",
            "kv_channels",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "v_head_dim",
            "linear_key_head_dim",
            "linear_value_head_dim",
            "linear_head_dim",
            "mamba_d_head",
            "mamba_head_dim",
            "mamba_d_state",
            "ssm_state_size",
            "state_size",
        ),
        HEAD,
    ),
    "qk_head_dim": 2 * HEAD,
    "rotary_dim": HEAD // 2,
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank", "laurel_rank", "hc_lowrank", "gated_norm_rank"), HEAD),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size", "ngram_vocab_size_base"), VOCABULARY),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads", "index_n_heads", "lightning_heads"), HEADS),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 2 * HEADS),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "index_topk", "index_topk_blocks", "index_block_size", "block_size"), WINDOW),
    **dict.fromkeys(("time_step_rank", "mamba_dt_rank"), 4),
}
# Windows of any name: no weights hang on them.
WINDOWS = ("sliding_window", "sliding_window_size", "attention_window_size", "local_attention", "window_size", "attention_chunk_size")
QUERY_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "swa_num_attention_heads")
KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads", "num_global_key_value_heads")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "zero_expert_num")
# How many of a token's experts, of groups of experts, and of layers that are dense before the first of experts.
FEW = {
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k"), 2),
    **dict.fromkeys(("n_group", "num_expert_group", "topk_group", "mamba_n_groups", "mamba_ngroups", "n_groups"), 1),
    **dict.fromkeys(("attn_layer_period", "expert_layer_period"), 2),
    **dict.fromkeys(("attn_layer_offset", "expert_layer_offset"), 1),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "num_nextn_predict_layers"), 1),
}
# Lists of the layers that something is true of.
LISTED_LAYERS = ("full_attn_idxs", "mlp_only_layers", "moe_layers", "hybrid_layer_ids", "ple_layer_ids")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_layers_per_stack")
# What says nothing of the arithmetic.
DROPPED = ("architectures", "quantization_config", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "id2label", "label2id")
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "unk_token_id", "decoder_start_token_id")


def reduce_config(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """Return a small configuration of the same kind as a language model's `config`. Raise as transformers does if its sizes do not fit."""
    whole = {name: value for name, value in config.to_dict().items() if name not in DROPPED}
    small = _narrowed(whole)
    for name in WINDOWS:
        if _is_size(whole.get(name)):
            small[name] = min(whole[name], WINDOW)
    return type(config).from_dict(small)


def _narrowed(whole: Mapping[str, Any]) -> dict[str, Any]:
    small = _fewer_layers(whole)
    if _numbers(whole) < SMALL:
        return small
    for name, size in SIZES.items():
        if isinstance(small.get(name), list):
            small[name] = [size] * len(small[name])
        elif _is_size(small.get(name)):
            small[name] = size
    small |= {name: min(whole[name], most) for name, most in {**FEW, **dict.fromkeys(EXPERTS, 4)}.items() if _is_size(whole.get(name))}
    for queries, keys in ((whole.get(q), whole.get(k)) for q in QUERY_HEADS for k in KEY_HEADS):
        if _is_size(queries) and _is_size(keys):
            small |= {
                name: _key_heads(whole[name], int(queries or 0))
                for name in KEY_HEADS
                if _is_size(whole.get(name)) and whole[name] <= queries
            }
    small |= {name: min(whole[name], HEADS) for name in QUERY_HEADS if _is_size(whole.get(name))}
    for name in SPECIAL_TOKENS:
        if small.get(name) is not None:
            small[name] = 0
    if "num_attention_heads" not in whole and _is_size(whole.get("expand")):
        # A state-space model: its heads fill the width that it expands to.
        small |= {name: whole["expand"] * HEADS for name in ("num_heads",) if name in whole}
    if "per_layer_config" in small:
        small["per_layer_config"] = {
            layer: {name: _beside(value, whole.get(name), small.get(name)) for name, value in own.items()}
            for layer, own in small["per_layer_config"].items()
        }
    if isinstance(whole.get("num_attention_heads_per_layer"), list):
        small["num_attention_heads_per_layer"] = [HEADS] * len(small["num_attention_heads_per_layer"])
    _fit_ropes(small, whole)
    return small


def _key_heads(keys: int, queries: int) -> int:
    """Return as many for each query head as before where that is one or all, else two for four."""
    return HEADS if keys == queries else 1 if keys == 1 else HEADS // 2


def _beside(value: Any, usual: Any, small: Any) -> Any:
    """Return a layer's own size, as much larger or smaller than the small usual one as it was than the usual one."""
    if not (_is_size(value) and _is_size(usual) and _is_size(small)):
        return value
    return small * 2 if value > usual else small if value == usual else max(1, small // 2)


def _fewer_layers(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the first layer of each kind, and with two of one kind alone."""
    small = dict(whole)
    count = next((whole[name] for name in LAYERS if _is_size(whole.get(name))), 0)
    listed = {name: whole[name] for name in LISTED_LAYERS if isinstance(whole.get(name), list)}
    by_layer = {
        name: value
        for name, value in whole.items()
        if isinstance(value, list | tuple) and len(value) == count and count > 2 and name not in listed
    }
    own = {int(layer): value for layer, value in (whole.get("per_layer_config") or {}).items()}
    # The last layers of some take keys and values from those before.
    shared = count - (whole.get("num_kv_shared_layers") or 0)
    kinds = [
        (
            *(str(value[layer]) for value in by_layer.values()),
            *(layer in layers for layers in listed.values()),
            str(own.get(layer)),
            layer >= shared,
        )
        for layer in range(count)
    ]
    first = [layer for layer in range(count) if layer == kinds.index(kinds[layer])]
    # Kinds that follow each other by a pattern shorter than all layers.
    pattern = len(whole.get("block_types") or ())
    kept = first if len(first) > 1 else list(range(min(count, max(2, pattern))))
    small |= {name: [value[layer] for layer in kept] for name, value in by_layer.items()}
    small |= {name: len(kept) for name in LAYERS if _is_size(whole.get(name)) and whole[name] == count}
    small |= {name: [kept.index(layer) for layer in layers if layer in kept] for name, layers in listed.items()}
    if own:
        small["per_layer_config"] = {str(place): own[layer] for place, layer in enumerate(kept) if layer in own}
    if _is_size(whole.get("num_kv_shared_layers")):
        small["num_kv_shared_layers"] = sum(layer >= shared for layer in kept)
    return small


def _fit_ropes(small: dict[str, Any], whole: Mapping[str, Any]) -> None:
    """Keep of scalings with a factor for each frequency as many as there are frequencies left."""
    size = whole.get("head_dim") or (whole.get("hidden_size", 0) // max(1, whole.get("num_attention_heads", 1)))
    for name in ("rope_parameters", "rope_scaling"):
        rope = small.get(name)
        if isinstance(rope, dict) and size:
            small[name] = {key: _fitted(value, size) for key, value in rope.items()}


def _fitted(value: Any, size: int) -> Any:
    if isinstance(value, dict):
        return {key: _fitted(inner, size) for key, inner in value.items()}
    # Factors of longrope; sections of multimodal ropes, which add up to all frequencies.
    if isinstance(value, list) and len(value) > 4:
        return value[: max(1, len(value) * HEAD // size)]
    if isinstance(value, list) and all(isinstance(one, int) for one in value) and sum(value) > HEAD // 2:
        return [HEAD // 2 - 2 * (HEAD // 8) if number == 0 else HEAD // 8 for number in range(len(value))]
    return value


def _numbers(whole: Mapping[str, Any]) -> int:
    """Return roughly how many weights there are, from above."""
    hidden = int(next((whole[name] for name in ("hidden_size", "n_embd", "d_model") if _is_size(whole.get(name))), 1 << 20))
    layers = next((whole[name] for name in LAYERS if _is_size(whole.get(name))), 1)
    inner = max((whole[name] for name in SIZES if name.endswith(("size", "dim", "inner")) and _is_size(whole.get(name))), default=hidden)
    experts = max((whole[name] for name in EXPERTS if _is_size(whole.get(name))), default=1)
    return int(hidden * (2 * whole.get("vocab_size", 0) + layers * (8 * hidden + 3 * inner * max(1, experts))))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
