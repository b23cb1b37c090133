"""How much memory the training of a trial or of a bundle needs at its peak, estimated from the sizes of the model. Imports no torch.

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
(docs/explanation/hardware.md has the table). On a GPU it has not been measured; of a bundle's tensors there, benchmarks/dry_run.py counts
the peak, and tests hold the estimate within a tenth of it. Not in it: the copies in 16 bits of the adapters of a bundle (4 bytes a number
on a GPU), and what an allocator keeps of the memory that it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.modeling.layer_sizes import LayerSizes

GIB = 1 << 30
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
NF4_BYTES_SINGLY = (4 + 32 / 64) / 8
FP32 = 4
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
# Bytes of optimiser state for each trained number.
STATE_BYTES = {"adamw_torch": 8.0, "paged_adamw_32bit": 8.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0}
# Of engine=sft, rather too much: TRL's chunked loss, tokens and vocabulary entries of a tile, bytes an entry while its gradient is made;
# training/sft_loss.py holds fewer.
TILE_TOKENS, TILE_ENTRIES = 4096, 32768
CPU_TILE_BYTES = 34
# Of a bundle: tokens whose logits are held at once (training/fused/chunked_cross_entropy.py), and the width up to which attention
# keeps its scores on CPU cores (modeling/multi_lora/document_attention.py).
LOGIT_ROWS, PLAIN_ATTENTION = 512, 400
# Decoder layers whose dropout a GPU draws at once, for all of their projections (modeling/multi_lora/dropout_masks.py).
DRAWN_LAYERS = 4
# While a GPU computes the gradient of a gated MLP: tensors as wide as that, beside what the block has kept (counted by a dry run).
MLP_GRADIENTS = 4.5
SHARED_INPUTS = {"q_proj": "attention", "k_proj": "attention", "v_proj": "attention", "gate_proj": "mlp", "up_proj": "mlp"}
# The CUDA context and cuBLAS's workspace: assumed, not measured.
GPU_OVERHEAD = int(0.7 * GIB)
# Of a bundle on CPU cores: the process itself, with torch, transformers and peft (measured with the tiny model).
CPU_OVERHEAD = int(0.9 * GIB)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of each part. `activations` holds all that comes and goes within a step."""

    weights: int
    adapter: int
    optimiser: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.optimiser + self.gradients + self.activations


@dataclass(frozen=True)
class TrialTraining:
    """A trial's training, in the words of conf/. `method`: lora, qlora, full, or none, which has weights alone. `gpu`: not on CPU cores."""

    method: str
    quantisation: str
    double_quantisation: bool
    dtype: str
    attention: str
    r: int
    target_modules: Sequence[str]
    dropout: float
    optimizer: str
    micro_batch_size: int
    max_length: int
    gradient_checkpointing: bool
    gpu: bool


@dataclass(frozen=True)
class BundleTraining:
    """A bundle's training: rows of at most `row_tokens` tokens, or one document of `longest`; `r`, `target_modules` and `dropout` are the
    greatest of its trials. With `dequantised` the base model is kept in 16 bits."""

    quantisation: str
    double_quantisation: bool
    dtype: str
    row_tokens: int
    longest: int
    r: int
    target_modules: Sequence[str]
    dropout: float
    gradient_checkpointing: bool
    gpu: bool
    dequantised: bool = False


def estimate_training_memory(sizes: LayerSizes, training: TrialTraining) -> MemoryEstimate:
    """Return the peak of a trial that is trained alone. Target modules that `sizes` does not know count nothing."""
    full = training.method == "full"
    # Trained weights are held in fp32, and so is then what they compute.
    number = FP32 if full else DTYPE_BYTES[training.dtype]
    weights = _weights(sizes, training.quantisation, training.double_quantisation, number) + (GPU_OVERHEAD if training.gpu else 0)
    if training.method == "none":
        return MemoryEstimate(weights, 0, 0, 0, 0)
    projections = sizes.projections()
    targets = [] if full else [projections[name] for name in training.target_modules if name in projections]
    adapter = sizes.layers * sum(training.r * (inputs + outputs) for inputs, outputs in targets)
    trained = sizes.parameters if full else adapter
    tokens = training.micro_batch_size * training.max_length
    block = _block(sizes, number, targets, training)
    kept = sizes.layers * sizes.hidden * number + block if training.gradient_checkpointing else sizes.layers * block
    working = _head(sizes, tokens, number, full=full, gpu=training.gpu)
    if training.quantisation == "nf4":
        working += max(inputs * outputs for inputs, outputs in projections.values()) * number
    return MemoryEstimate(
        weights=weights,
        adapter=adapter * FP32,
        optimiser=int(trained * STATE_BYTES[training.optimizer]),
        gradients=trained * FP32,
        activations=int(tokens * kept + working),
    )


def _weights(sizes: LayerSizes, quantisation: str, double_quantisation: bool, number: int) -> int:
    small = NF4_BYTES if double_quantisation else NF4_BYTES_SINGLY
    return int(sizes.projected * (small if quantisation == "nf4" else number) + sizes.embedded * number)


def _block(sizes: LayerSizes, number: int, targets: Sequence[tuple[int, int]], training: TrialTraining) -> float:
    """Return the bytes that one block keeps for each token."""
    queries = sizes.heads * sizes.head_size
    norms = 2 * sizes.hidden * FP32
    # Keys and values are repeated for each group of heads wherever a batch is padded.
    attended = 4 * queries * number
    gated = 3 * sizes.intermediate * number
    # torch keeps a dropout mask in one byte on a GPU and as numbers on a CPU.
    mask = 0 if not training.dropout else 1 if training.gpu else FP32
    adapted = sum(inputs * (FP32 + mask) + training.r * FP32 for inputs, _ in targets)
    # Weights that are trained need their input, and a norm's weight what it scales.
    inputs = (4 * sizes.hidden + sizes.intermediate) * number if training.method == "full" else 0
    # The softmax in fp32 and its copy in the model's own numbers.
    scores = sizes.heads * training.max_length * (FP32 + number) if training.attention == "eager" else 0
    return norms + attended + gated + adapted + inputs + scores


def _head(sizes: LayerSizes, tokens: int, number: int, *, full: bool, gpu: bool) -> int:
    """Return the bytes above the blocks while the loss goes back through the output head."""
    entries = min(sizes.vocabulary, TILE_ENTRIES)
    tile = min(tokens, TILE_TOKENS) * (TILE_ENTRIES * number if gpu else entries * CPU_TILE_BYTES)
    # A CPU multiplies fp32 copies of the head's rows; hidden states and their gradient are there twice.
    rows = 0 if gpu else entries * sizes.hidden * FP32
    gradient = sizes.vocabulary * sizes.hidden * FP32 if full else 0
    return tile + rows + gradient + tokens * sizes.hidden * (FP32 + number)


def slot_bytes(sizes: LayerSizes, *, r: int, target_modules: Sequence[str], optimizer: str) -> int:
    """Return the bytes that a trial's slot takes in a bundle: its adapter and gradients in fp32, and its optimiser's states."""
    targets = [sizes.projections()[name] for name in target_modules if name in sizes.projections()]
    numbers = sizes.layers * sum(r * (inputs + outputs) for inputs, outputs in targets)
    return int(numbers * (2 * FP32 + STATE_BYTES[optimizer]))


def estimate_bundle_memory(sizes: LayerSizes, training: BundleTraining) -> MemoryEstimate:
    """Return what a bundle needs beside the states of its trials (see `slot_bytes`): the base model and one row."""
    number, tokens = DTYPE_BYTES[training.dtype], max(training.row_tokens, training.longest)
    names = [name for name in training.target_modules if name in sizes.projections()]
    block = _row_block(sizes, number, names, training)
    kept = sizes.layers * sizes.hidden * number + block if training.gradient_checkpointing else sizes.layers * block
    # Logits of LOGIT_ROWS tokens: twice in the model's own numbers, three times in fp32. Hidden states and their gradient, before and after
    # the last norm.
    working = min(tokens, LOGIT_ROWS) * sizes.vocabulary * (2 * number + 3 * FP32) + tokens * sizes.hidden * 2 * (FP32 + number)
    if training.gpu:
        # The head and the last block have their turns.
        working = max(working, int(tokens * MLP_GRADIENTS * sizes.intermediate * number))
        working += tokens * _drawn(sizes, names, training.gradient_checkpointing) if training.dropout else 0
    quantisation = "none" if training.dequantised else training.quantisation
    if quantisation == "nf4":
        working += max(inputs * outputs for inputs, outputs in sizes.projections().values()) * number
    weights = _weights(sizes, quantisation, training.double_quantisation, number)
    weights += GPU_OVERHEAD if training.gpu else CPU_OVERHEAD
    return MemoryEstimate(weights, 0, 0, 0, int(tokens * kept + working))


def _drawn(sizes: LayerSizes, names: Sequence[str], gradient_checkpointing: bool) -> int:
    """Return the bytes for each token of a draw of dropout beside the masks that blocks keep: none where these hold all of the draw."""
    projections = sizes.projections()
    drawn = min(DRAWN_LAYERS, sizes.layers) * sum(inputs for inputs, _ in projections.values())
    if gradient_checkpointing:
        return drawn - sum(projections[name][0] for name in names)
    return 0 if len(names) == len(projections) else drawn


def _row_block(sizes: LayerSizes, number: int, names: Sequence[str], training: BundleTraining) -> float:
    """Return the bytes that one block keeps for each token of a row without padding."""
    queries, keys = sizes.heads * sizes.head_size, sizes.key_value_heads * sizes.head_size
    norms = 2 * sizes.hidden * FP32
    attended = (2 * queries + 2 * keys) * number
    if not training.gpu:
        # On CPU cores short documents are attended to by plain products in fp32, whose scores are kept.
        attended += (queries + 2 * keys) * FP32 + sizes.heads * min(training.longest, PLAIN_ATTENTION) * FP32
    gated = 3 * sizes.intermediate * number
    # Adapters keep their input, which those on the same one share; each keeps A's output and, of dropout, a byte a number.
    inputs = {SHARED_INPUTS.get(name, name): sizes.projections()[name][0] for name in names}
    masks = sum(sizes.projections()[name][0] for name in names) if training.dropout else 0
    adapted = sum(inputs.values()) * number + len(names) * training.r * number + masks
    return norms + attended + gated + adapted
