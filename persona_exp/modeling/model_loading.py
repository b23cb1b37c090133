"""A base model, loaded in its dtype and quantisation from a folder of this machine; nothing is downloaded here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.modeling.attention_implementation import available_attention
from persona_exp.modeling.base_model_dropout_off import switch_dropout_off
from persona_exp.modeling.nf4_quantisation import keep_trainable_layout, nf4_config, refuse_wrong_arithmetic

if TYPE_CHECKING:
    from transformers import PreTrainedModel
# Where checkpoints that also see pictures keep the language part: as published on the hub, and as transformers 5 saves it.
LANGUAGE_PART = {r"^language_model\.(model|lm_head)\.": r"\1.", r"^model\.language_model\.": "model."}
QUIET_BYTES = 1 << 30  # Smaller models load before a progress bar says anything.


def load_model(folder: Path, quantisation: str, double_quantisation: bool, dtype: str, attention: str) -> "PreTrainedModel":
    """Return the causal language model of `folder`, in eval mode, on the GPU if there is one, without dropout or router losses of its own.

    `quantisation` is `none` (all weights in `dtype`) or `nf4` (projections in 4 bits, computed in `dtype`; the rest, embeddings,
    norms and output head, in `dtype`). Of a checkpoint that also sees pictures, the language part alone is loaded, so that adapters
    cannot land elsewhere. Raise UserError if the weights cannot be quantised rightly, the folder lacks some of them, or `attention`
    is not available.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    number_type: torch.dtype = getattr(torch, dtype)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    if attention == "flash_attention_2" and device.type == "cpu":
        raise UserError("model.attention=flash_attention_2 needs a GPU: use sdpa.")
    if quantisation not in ("none", "nf4"):
        raise UserError(f"method.quantisation={quantisation} must be one of none, nf4.")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    language = config.get_text_config()
    attention = available_attention(language, attention)
    with _quiet(sum(file.stat().st_size for file in folder.glob("*.safetensors")) < QUIET_BYTES):
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=language,
                key_mapping=None if language is config else LANGUAGE_PART,
                quantization_config=nf4_config(number_type, double_quantisation) if quantisation == "nf4" else None,
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
        refuse_wrong_arithmetic(model)
        keep_trainable_layout(model)
    switch_dropout_off(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


@contextmanager
def _quiet(bars: bool) -> Iterator[None]:
    """Silence transformers' warnings, as of a vision tower's unused weights; if `bars`, its progress bars too."""
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
