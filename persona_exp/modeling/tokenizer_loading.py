"""A base model's tokenizer, loaded from a folder of this machine with its chat template."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.modeling.chat_template import template_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
# The model types that may have Mistral's Tekken tokenizer.
TEKKEN = ("mistral", "mistral3", "ministral", "ministral3", "pixtral", "voxtral")


def load_tokenizer(folder: Path, chat_template: str | None) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of `folder`, with its own chat template or with ours of that name. Raise UserError if it has none.

    Where it has no padding token, the end-of-text token serves: give attention masks, for it cannot be distinguished from a real one.
    """
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True, **_corrections(folder))
    if chat_template is not None:
        tokenizer.chat_template = template_file(chat_template).read_text(encoding="utf-8")
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer in {folder} has no chat template: choose one with model.chat_template=plain.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _corrections(folder: Path) -> dict[str, bool]:
    """Return the options that transformers needs beside the files. Mistral's Tekken tokenizers were published with a wrong pattern for
    words (hub: mistralai/Mistral-Small-3.1-24B-Instruct-2503, discussion 84), which it corrects only on request. Their older tokenizers
    have no such pattern, and would be spoilt by one."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        if kind not in TEKKEN:
            return {}
        cut = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["pre_tokenizer"]
        first = cut["pretokenizers"][0]["type"] if cut["type"] == "Sequence" else cut["type"]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return {}  # Whatever is missing, loading says.
    return {"fix_mistral_regex": True} if first == "Split" else {}
