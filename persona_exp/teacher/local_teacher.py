"""A teacher in this process: any chat model that transformers loads."""

import os
from pathlib import Path
from threading import Event, Lock
from typing import Any

from persona_exp.atomic_files import digest, file_digest
from persona_exp.errors import UserError
from persona_exp.progress_bar import track
from persona_exp.teacher import prompts
from persona_exp.teacher.language_model import Completion, Messages
from persona_exp.teacher.token_and_money_budget import Budget


class LocalTeacher:
    """A transformers chat model in this process, on the GPU where there is one; greedy, one conversation at a time.

    `model` is a folder, or a hub repository whose files are already in the local cache; nothing is downloaded.
    """

    def __init__(self, model: str, max_output_tokens: int = 1024) -> None:
        if max_output_tokens <= 0:
            raise UserError("teacher.max_output_tokens must be positive.")
        self.model, self.max_output_tokens = model, max_output_tokens
        self._lock = Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._content: str | None = None

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return "local"

    def settings(self) -> dict[str, Any]:
        """Return the model's content, not where it lies, and the longest answer. A folder is read for it, once."""
        with self._lock:
            self._content = self._content or _content(self.model, self._folder())
        return {"kind": self.name, "model": self._content, "max_output_tokens": self.max_output_tokens}

    def identity(self) -> dict[str, Any]:
        """Return `settings` and the prompts."""
        return {**self.settings(), "prompts": prompts.digest()}

    def complete(self, messages: Messages, budget: Budget, stop: Event) -> Completion:
        """Return the model's answer; see `LanguageModel`. Raise UserError where the conversation does not fit the model."""
        import torch

        with self._lock:
            tokenizer, model = self._loaded = self._loaded or self._load()
            conversation = [dict(message) for message in messages]
            ids = tokenizer.apply_chat_template(
                conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True, enable_thinking=False
            )["input_ids"].to(model.device)
            length = ids.shape[1]
            longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or length + self.max_output_tokens
            if length + self.max_output_tokens > longest:
                raise UserError(
                    f"{self.model} reads {longest} tokens, and a prompt of {length} with an answer of {self.max_output_tokens} is longer: "
                    "lower teacher.max_output_tokens or take a model with a longer context."
                )
            with budget.reserve(length, self.max_output_tokens) as reservation:
                with torch.inference_mode():
                    output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=self.max_output_tokens)[0, length:]
                reservation.settle(length, len(output))
        finish = "length" if len(output) == self.max_output_tokens and int(output[-1]) not in _ends(model) else "stop"
        return Completion(str(tokenizer.decode(output, skip_special_tokens=True)), finish, length, len(output))

    def _folder(self) -> Path:
        folder = Path(self.model).expanduser()
        if (folder / "config.json").is_file():
            return folder
        from huggingface_hub import errors, snapshot_download

        try:
            return Path(snapshot_download(self.model, local_files_only=True))
        except (errors.LocalEntryNotFoundError, errors.HFValidationError, ValueError) as error:
            raise UserError(
                f"teacher.model={self.model} is neither a model's folder nor a hub repository in the local cache: give a folder with a "
                f"config.json, or get it first (hf download {self.model})."
            ) from error

    def _load(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        folder = self._folder()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not tokenizer.chat_template:
            raise UserError(f"teacher.model={self.model} has no chat template: take a model that is trained to follow instructions.")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        loading: Any = AutoModelForCausalLM
        model = loading.from_pretrained(folder, dtype="auto", device_map={"": device}, local_files_only=True).eval()
        own = model.generation_config
        # Only its ends of text: penalties and sampling of the model's own settings would have a say otherwise.
        ends = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        plain: Any = GenerationConfig
        model.generation_config = plain(do_sample=False, eos_token_id=ends, pad_token_id=padding)
        return tokenizer, model


def _ends(model: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    return ends if isinstance(ends, list) else [ends]


def _content(model: str, folder: Path) -> str:
    """Return what tells this model's content from any other's: the hub's commit where the folder is a snapshot, else a digest of the
    files."""
    if folder.parent.name == "snapshots":
        return f"{model}@{folder.name}"
    entries = sorted(Path(where) / name for where, _, names in os.walk(folder) for name in names)
    files = [path for path in entries if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    reading = track(files, f"reading {folder.name} for its digest", len(files))
    return digest({path.relative_to(folder).as_posix(): file_digest(path) for path in reading})
