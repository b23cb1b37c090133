"""A base model and its tokenizer, loaded from a folder of this machine; nothing is downloaded here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEMPLATES = Path(__file__).parent / "templates"
NF4_MULTIPLE = 64
# Where checkpoints that also see pictures keep the language part: as published on the hub, and as transformers 5 saves it.
LANGUAGE_PART = {r"^language_model\.(model|lm_head)\.": r"\1.", r"^model\.language_model\.": "model."}
QUIET_BYTES = 1 << 30  # Smaller models load before a progress bar says anything.


def template_file(chat_template: str) -> Path:
    """Where our chat template of that name is; UserError where there is none."""
    file = TEMPLATES / f"{chat_template}.jinja"
    if not file.is_file():
        ours = ", ".join(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
        raise UserError(f"model.chat_template={chat_template} must be one of {ours}, or null for the tokenizer's own.")
    return file


def load_tokenizer(folder: Path, chat_template: str | None) -> "PreTrainedTokenizerBase":
    """The tokenizer of `folder`, with its own chat template or with ours of that name (see templates/).

    Where it has no padding token, the end-of-text token serves: give attention masks, for it cannot be told from a real one.
    """
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if chat_template is not None:
        tokenizer.chat_template = template_file(chat_template).read_text(encoding="utf-8")
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer in {folder} has no chat template: choose one with model.chat_template=plain.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, quantisation: str, double_quantisation: bool, dtype: str, attention: str) -> "PreTrainedModel":
    """The causal language model of `folder`, in eval mode, on the GPU where there is one.

    `quantisation` is `none` (all weights in `dtype`) or `nf4` (projections in 4-bit NormalFloat of Dettmers et al. 2023,
    arXiv:2305.14314, computed in `dtype`; the rest, embeddings, norms and output head, in `dtype`). Of a checkpoint that also
    sees pictures, the language part alone is loaded, so that adapters cannot land elsewhere. UserError where the weights cannot
    be quantised rightly, the folder lacks some of them, or `attention` is not to be had.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    number_type: torch.dtype = getattr(torch, dtype)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    if attention == "flash_attention_2" and device.type == "cpu":
        raise UserError("model.attention=flash_attention_2 needs a GPU: use sdpa.")
    if quantisation not in ("none", "nf4"):
        raise UserError(f"method.quantisation={quantisation} must be one of none, nf4.")
    recipe = None
    if quantisation == "nf4":
        recipe = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double_quantisation,
            bnb_4bit_compute_dtype=number_type,
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    language = config.get_text_config()
    with _quiet(sum(file.stat().st_size for file in folder.glob("*.safetensors")) < QUIET_BYTES):
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=language,
                key_mapping=None if language is config else LANGUAGE_PART,
                quantization_config=recipe,
                dtype=number_type,
                attn_implementation=attention,
                device_map={"": device},
                local_files_only=True,
                output_loading_info=True,
            )
        except ImportError as error:
            if attention != "flash_attention_2":
                raise
            raise UserError("model.attention=flash_attention_2 needs the package flash-attn: install it or use sdpa.") from error
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        # transformers fills these with random numbers and goes on.
        raise UserError(f"The model in {folder} lacks {len(missing)} of its weights, {missing[0]} among them: fetch it again.")
    if quantisation == "nf4" and device.type == "cpu":
        _refuse_wrong_arithmetic(model)
        _keep_layout(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _refuse_wrong_arithmetic(model: "torch.nn.Module") -> None:
    """bitsandbytes (0.50.2) on a CPU dequantises NF4 wrongly, in silence, where a row is not a multiple of 64 numbers."""
    from bitsandbytes.nn.modules import Linear4bit

    sizes = {name: module.in_features for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    wrong = [f"{name} ({inputs})" for name, inputs in sizes.items() if inputs % NF4_MULTIPLE]
    if wrong:
        raise UserError(
            f"{len(wrong)} projections, {wrong[0]} the first, have an input size that is not a multiple of {NF4_MULTIPLE}, "
            "which NF4 on a CPU computes wrongly: use method=lora, or a GPU."
        )


def _keep_layout(model: "torch.nn.Module") -> None:
    """bitsandbytes (0.50.2) repacks the weights for AVX-512-BF16 processors at the first forward pass in eval mode, for good, and
    the product that reads this layout has no backward pass: training after an evaluation would silently stop at each projection.
    Without it, results are also nearer to those of other processors. The price is generation one sequence at a time (×2)."""
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def _quiet(bars: bool) -> Iterator[None]:
    """Without transformers' warnings, as of a vision tower's unused weights; if `bars`, without its progress bars too."""
    from transformers.utils import logging as messages

    shown, level = messages.is_progress_bar_enabled(), messages.get_verbosity()
    messages.set_verbosity_error()  # type: ignore[no-untyped-call]
    if bars:
        messages.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if shown:
            messages.enable_progress_bar()  # type: ignore[no-untyped-call]
