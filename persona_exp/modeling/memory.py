"""How much memory a trial's training needs at its peak, told from the sizes of the model. Imports no torch.

The five parts and where their formulas come from:

weights      16 bits each, or 4.127 bits for NF4 with double quantisation (4 + 8/64 + 32/(64·256), Dettmers et al. 2023,
             arXiv:2305.14314, section 3; 4.5 without it). Embeddings, norms and the output head stay in 16 bits.
adapter      LoRA's r·(inputs + outputs) numbers a projection in fp32 (Hu et al. 2021, arXiv:2106.09685).
optimiser    AdamW's two moments for each trained number: fp32, or 8 bits (Dettmers et al. 2022, arXiv:2110.02861).
gradients    fp32, of trained numbers alone.
activations  What a block keeps for the backward pass, counted tensor by tensor as Korthikanti et al. 2022 (arXiv:2205.05198, section
             4.1) do for GPT's block, here for that of Llama with adapters, as torch's own record of saved tensors shows it: the fp32
             inputs of two RMSNorms, q, k, v and the output of attention, three tensors of the gated MLP, and for each adapter its fp32
             input, the mask of its dropout and A's output. Attention that is not fused adds its scores. With gradient checkpointing a
             block keeps its input alone, and one block at a time has the rest. Above the blocks, the output head: TRL computes it in
             tiles of 4,096 tokens by 32,768 entries, in 16 bits on a GPU and through fp32 copies on a CPU; with NF4, one projection
             at a time in 16 bits.

It is an upper bound for lengths: every example of a micro-batch is taken to be `max_length` tokens long. Evaluation is not in it. On CPU
cores it came within 11 % of the peak resident memory of short adapter runs with SmolLM2-135M, and 23 % above that of full fine-tuning
(docs/clusters.md has the table); on a GPU it has not been measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.modeling.shape import Shape

GIB = 1 << 30
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
NF4_BYTES_SINGLY = (4 + 32 / 64) / 8
FP32 = 4
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
# Bytes of optimiser state for each trained number.
STATE_BYTES = {"adamw_torch": 8.0, "paged_adamw_32bit": 8.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0}
# trl.kernels.chunked_logprob: tokens and vocabulary entries of a tile; bytes an entry while its gradient is made.
TILE_TOKENS, TILE_ENTRIES = 4096, 32768
CPU_TILE_BYTES = 34
# Of a bundle: tokens whose logits are held at once (training/fused/loss.py), and the width up to which attention keeps its scores on CPU
# cores (modeling/bundle/attention.py).
LOGIT_ROWS, PLAIN_ATTENTION = 512, 400
SHARED_INPUTS = {"q_proj": "attention", "k_proj": "attention", "v_proj": "attention", "gate_proj": "mlp", "up_proj": "mlp"}
# The CUDA context and cuBLAS's workspace: assumed, not measured.
GPU_OVERHEAD = int(0.7 * GIB)
# Of a bundle on CPU cores: the process itself, with torch, transformers and peft (measured with the tiny model).
CPU_OVERHEAD = int(0.9 * GIB)


@dataclass(frozen=True)
class Memory:
    """Bytes. `activations` holds all that comes and goes within a step."""

    weights: int
    adapter: int
    optimiser: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.optimiser + self.gradients + self.activations


def estimate(
    shape: Shape,
    *,
    method: str,
    quantisation: str,
    double_quantisation: bool,
    dtype: str,
    attention: str,
    r: int,
    target_modules: Sequence[str],
    dropout: float,
    optimizer: str,
    micro_batch_size: int,
    max_length: int,
    gradient_checkpointing: bool,
    gpu: bool,
) -> Memory:
    """The peak of training with `method` (lora, qlora, full, or none, which has weights alone); arguments as conf/ names them.

    `target_modules` that the shape does not know count nothing.
    """
    # Trained weights are held in fp32, and so is then what they compute.
    number = FP32 if method == "full" else DTYPE_BYTES[dtype]
    weights = _weights(shape, quantisation, double_quantisation, number) + (GPU_OVERHEAD if gpu else 0)
    if method == "none":
        return Memory(weights, 0, 0, 0, 0)
    targets = [shape.projections()[name] for name in target_modules if name in shape.projections()] if method != "full" else []
    adapter = shape.layers * sum(r * (inputs + outputs) for inputs, outputs in targets)
    trained = shape.parameters if method == "full" else adapter
    tokens = micro_batch_size * max_length
    block = _block(shape, number, targets, r, dropout, attention, max_length, full=method == "full", gpu=gpu)
    kept = shape.layers * shape.hidden * number + block if gradient_checkpointing else shape.layers * block
    working = _head(shape, tokens, number, full=method == "full", gpu=gpu)
    if quantisation == "nf4":
        working += max(inputs * outputs for inputs, outputs in shape.projections().values()) * number
    return Memory(
        weights=weights,
        adapter=adapter * FP32,
        optimiser=int(trained * STATE_BYTES[optimizer]),
        gradients=trained * FP32,
        activations=int(tokens * kept + working),
    )


def _weights(shape: Shape, quantisation: str, double_quantisation: bool, number: int) -> int:
    small = NF4_BYTES if double_quantisation else NF4_BYTES_SINGLY
    return int(shape.projected * (small if quantisation == "nf4" else number) + shape.embedded * number)


def _block(
    shape: Shape,
    number: int,
    targets: Sequence[tuple[int, int]],
    r: int,
    dropout: float,
    attention: str,
    max_length: int,
    *,
    full: bool,
    gpu: bool,
) -> float:
    """Bytes that one block keeps for each token."""
    queries = shape.heads * shape.head_size
    norms = 2 * shape.hidden * FP32
    # Keys and values are repeated for each group of heads wherever a batch is padded.
    attended = 4 * queries * number
    gated = 3 * shape.intermediate * number
    # torch keeps a dropout mask in one byte on a GPU and as numbers on a CPU.
    mask = 0 if not dropout else 1 if gpu else FP32
    adapted = sum(inputs * (FP32 + mask) + r * FP32 for inputs, _ in targets)
    # Weights that are trained need their input, and a norm's weight what it scales.
    inputs = (4 * shape.hidden + shape.intermediate) * number if full else 0
    # The softmax in fp32 and its copy in the model's own numbers.
    scores = shape.heads * max_length * (FP32 + number) if attention == "eager" else 0
    return norms + attended + gated + adapted + inputs + scores


def _head(shape: Shape, tokens: int, number: int, *, full: bool, gpu: bool) -> int:
    """Bytes above the blocks while the loss goes back through the output head."""
    entries = min(shape.vocabulary, TILE_ENTRIES)
    tile = min(tokens, TILE_TOKENS) * (TILE_ENTRIES * number if gpu else entries * CPU_TILE_BYTES)
    # A CPU multiplies fp32 copies of the head's rows; hidden states and their gradient are there twice.
    rows = 0 if gpu else entries * shape.hidden * FP32
    gradient = shape.vocabulary * shape.hidden * FP32 if full else 0
    return tile + rows + gradient + tokens * shape.hidden * (FP32 + number)


def lane(shape: Shape, *, r: int, target_modules: Sequence[str], optimizer: str) -> int:
    """Bytes that a trial adds to a bundle by being there: its adapter and gradients in fp32, and its optimiser's states."""
    targets = [shape.projections()[name] for name in target_modules if name in shape.projections()]
    numbers = shape.layers * sum(r * (inputs + outputs) for inputs, outputs in targets)
    return int(numbers * (2 * FP32 + STATE_BYTES[optimizer]))


def shared(
    shape: Shape,
    *,
    quantisation: str,
    double_quantisation: bool,
    dtype: str,
    row_tokens: int,
    longest: int,
    r: int,
    target_modules: Sequence[str],
    dropout: float,
    gradient_checkpointing: bool,
    gpu: bool,
    dequantised: bool = False,
) -> Memory:
    """What a bundle needs whoever rides in it: the base model and one row of at most `row_tokens` tokens, or one document of `longest`.

    `r`, `target_modules` and `dropout` are the greatest of its trials. With `dequantised` the base model is kept in 16 bits.
    """
    number, tokens = DTYPE_BYTES[dtype], max(row_tokens, longest)
    names = [name for name in target_modules if name in shape.projections()]
    block = _row_block(shape, number, names, r, dropout, longest, gpu=gpu)
    kept = shape.layers * shape.hidden * number + block if gradient_checkpointing else shape.layers * block
    # Logits of LOGIT_ROWS tokens: twice in the model's own numbers, three times in fp32. Hidden states and their gradient, before and after
    # the last norm.
    working = min(tokens, LOGIT_ROWS) * shape.vocabulary * (2 * number + 3 * FP32) + tokens * shape.hidden * 2 * (FP32 + number)
    if quantisation == "nf4" and not dequantised:
        working += max(inputs * outputs for inputs, outputs in shape.projections().values()) * number
    weights = _weights(shape, "none" if dequantised else quantisation, double_quantisation, number)
    weights += GPU_OVERHEAD if gpu else CPU_OVERHEAD
    return Memory(weights, 0, 0, 0, int(tokens * kept + working))


def _row_block(shape: Shape, number: int, names: Sequence[str], r: int, dropout: float, longest: int, *, gpu: bool) -> float:
    """Bytes that one block keeps for each token of a row without padding."""
    queries, keys = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    norms = 2 * shape.hidden * FP32
    attended = (2 * queries + 2 * keys) * number
    if not gpu:
        # On CPU cores short documents are attended to by plain products in fp32, whose scores are kept.
        attended += (queries + 2 * keys) * FP32 + shape.heads * min(longest, PLAIN_ATTENTION) * FP32
    gated = 3 * shape.intermediate * number
    # Adapters keep their input, which those on the same one share; each keeps A's output and, of dropout, a byte a number.
    inputs = {SHARED_INPUTS.get(name, name): shape.projections()[name][0] for name in names}
    masks = sum(shape.projections()[name][0] for name in names) if dropout else 0
    adapted = sum(inputs.values()) * number + len(names) * r * number + masks
    return norms + attended + gated + adapted
