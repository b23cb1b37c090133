"""Models of a known shape with random weights, made where they run: the speed of a 7B model without downloading one."""

from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    # https://huggingface.co/Qwen/Qwen2.5-7B/blob/main/config.json
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    # For tests. Sizes are multiples of 64, as NF4 on a CPU needs them, and the vocabulary holds SmolLM2's.
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 49152,
    },
}
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def random_model(shape: str, quantisation: str, attention: str, *, layers: int | None = None, device: Any = None) -> Any:
    """A Qwen2 of `shape` in bfloat16 on `device`, or on the GPU where there is one, its projections in NF4 with double quantisation if
    asked; the same weights each time. `layers`: so many of its decoder layers alone."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    from persona_exp.modeling.attention_implementation import available_attention

    found = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(0)
    sizes = {**SHAPES[shape], **({"num_hidden_layers": layers} if layers else {})}
    config = Qwen2Config(**sizes, max_position_embeddings=32768, tie_word_embeddings=False, pad_token_id=0)
    attention = available_attention(config, attention)
    with device or found:
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    if quantisation == "nf4":
        _quantise(model)
    model.requires_grad_(False)
    return model.eval()


def _quantise(model: Any) -> None:
    """As transformers loads a model with load_in_4bit, and marked as such, so that peft and TRL know it."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    # By name, so that each plain projection is freed as it is replaced.
    names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name != "lm_head"]
    for name in names:
        plain = model.get_submodule(name)
        with torch.device("meta"):
            made = Linear4bit(
                plain.in_features, plain.out_features, bias=plain.bias is not None, compute_dtype=torch.bfloat16, quant_type="nf4"
            )
        packed = Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=made)
        made.weight = packed.to(plain.weight.device)
        made.bias = plain.bias
        # As persona_exp.modeling.model_loading does: the layout for AVX-512-BF16 has no backward pass.
        made.support_avx512bf16_for_cpu = False
        model.set_submodule(name, made)
    model.is_loaded_in_4bit = True
