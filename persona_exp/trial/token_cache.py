"""A dataset's tokens: made once for all trials and attempts that read them, below the dataset.

python -m persona_exp.trial.token_cache < TOKENISATIONS      makes them (a process of its own, since transformers' tokenizers import torch)
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.dataset.dataset_files import read_manifest, read_split
from persona_exp.errors import UserError
from persona_exp.modeling import chat_template, prompt_shortening, supervised_token_mask, tokenised_dataset, tokenizer_loading
from persona_exp.modeling.chat_template import template_file
from persona_exp.modeling.model_cache import build_lock, build_once
from persona_exp.modeling.tokenised_dataset import DamagedFiles, TokenisedConversation, TokenisedDataset
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.process_signals import die_with_parent
from persona_exp.progress_bar import track
from persona_exp.project_folders import ROOT
from persona_exp.trial.trial_dataset import dataset_folder

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

FOLDER = "tokens"
# Made in a second or two: no progress is shown.
FEW = 2000
# What a tokenizer may be read from, chat templates included; weights and their index are not.
TOKENIZER_ENDINGS = (".json", ".jinja", ".model", ".tiktoken", ".txt", ".py")
LIBRARIES = ("transformers", "tokenizers", "jinja2", "regex")


@dataclass(frozen=True)
class Tokenisation:
    """All that the tokens of a dataset's split hang on. `data` and `model` are folders; the rest stands as in the config."""

    data: str
    split: str
    model: str
    chat_template: str | None
    system_role: str
    end_of_turn: str
    max_length: int

    @property
    def facts(self) -> dict[str, Any]:
        """What it comes to, by content: equal facts give equal tokens."""
        return {
            "examples": _digest_of_split(Path(self.data), self.split),
            "split": self.split,
            "tokenizer": tokenizer_digest(Path(self.model)),
            "template": atomic_files.file_digest(template_file(self.chat_template)) if self.chat_template else None,
            "system_role": self.system_role,
            "end_of_turn": self.end_of_turn,
            "max_length": self.max_length,
            "code": _digest_of_code(),
            "libraries": {name: version(name) for name in LIBRARIES},
        }

    @property
    def folder(self) -> Path:
        """Where the tokens lie, or will."""
        return Path(self.data) / FOLDER / atomic_files.digest(self.facts)[:12]


def tokenisation(config: "Config", data_id: str, model_folder: Path, split: str) -> Tokenisation:
    """Return how `config` wants the examples of a split for training; `model_folder` is its base model's."""
    model = config.model
    return Tokenisation(
        data=str(dataset_folder(Path(config.runs), data_id).absolute()),
        split=split,
        model=str(model_folder.absolute()),
        chat_template=model.chat_template,
        system_role=model.system_role,
        end_of_turn=model.end_of_turn,
        max_length=config.train.max_length,
    )


def tokens_of(what: Tokenisation) -> TokenisedDataset:
    """Return all examples of the split in the order of its file, made by this process where nobody has made them yet."""
    found = find(what)
    if found is None:
        make(what)
        found = find(what)
    if found is None:
        raise UserError(f"{what.folder} was damaged as soon as it was written: check the disk.")
    return found


def find(what: Tokenisation) -> TokenisedDataset | None:
    """Return the tokens as they were made; None where they were not, or where they are damaged, which is said: they are set aside then.

    Raise UserError where damaged ones cannot be set aside.
    """
    folder = what.folder
    if not folder.is_dir():
        return None
    try:
        return _opened(what, folder)
    except DamagedFiles as error:
        damage = str(error)
    try:
        return _again(what, folder)
    except OSError as error:
        raise UserError(f"{damage}, and cannot be replaced ({error.strerror}): make {folder.parent} writable.") from error


def _again(what: Tokenisation, folder: Path) -> TokenisedDataset | None:
    """`find` where they were damaged: another process may have replaced them since, and none does while the lock is held."""
    with build_lock(folder.parent, folder.name):
        if not folder.is_dir():
            return None
        try:
            return _opened(what, folder)
        except DamagedFiles as error:
            print(f"{error}: the tokens are made again.", file=sys.stderr, flush=True)
            _drop(folder)
            return None


def make(what: Tokenisation) -> None:
    """Tokenise the split, unless another process does so first. UserError where the template or the tokenizer is of no use for it."""
    tokenizer = load_tokenizer(Path(what.model), what.chat_template)
    end = chat_template.end_of_turn_id(tokenizer, what.end_of_turn)
    facts = what.facts

    def build(staged: Path) -> None:
        made = tokenised_dataset.gather(_rows(what, tokenizer), end)
        if len(made.faults) == len(made) > 0:
            raise UserError(made.faults[0])
        tokenised_dataset.write_tokenised(staged, made, facts)

    build_once(what.folder.parent, what.folder.name, build)


def make_in_child(tokenisations: Sequence[Tokenisation]) -> None:
    """`make` each in another process, so that this one imports no torch. Raise UserError as there."""
    splits = " and ".join(dict.fromkeys(one.split for one in tokenisations))
    print(f"Tokenising the {splits} examples for train.max_length={tokenisations[0].max_length} …", file=sys.stderr, flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        [sys.executable, "-m", "persona_exp.trial.token_cache"],
        input=json.dumps([asdict(one) for one in tokenisations]),
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The process that makes tokens ended with exit code {done.returncode}; what it said stands above.")
    if error := json.loads(done.stdout.splitlines()[-1])["error"]:
        raise UserError(error)


@cache
def tokenizer_digest(folder: Path) -> str:
    """Return the SHA-256 (64 hex digits) over the files of a model's folder that its tokenizer and chat template may be read from."""
    names = [path.name for path in folder.iterdir() if path.suffix in TOKENIZER_ENDINGS and not path.name.endswith(".index.json")]
    names += [path.relative_to(folder).as_posix() for path in folder.glob("additional_chat_templates/*.jinja")]
    return atomic_files.digest({name: atomic_files.file_digest(folder / name) for name in names if (folder / name).is_file()})


@cache
def _digest_of_code() -> str:
    """Of what makes the tokens: a correction there leaves no old ones in use."""
    modules = (tokenizer_loading, chat_template, supervised_token_mask, tokenised_dataset, prompt_shortening)
    paths = [*(str(module.__file__) for module in modules), __file__]
    return atomic_files.digest([atomic_files.file_digest(Path(path)) for path in paths])


@cache
def _digest_of_split(folder: Path, split: str) -> str:
    return str(read_manifest(folder)["files"][f"{split}.jsonl"])


@cache
def _opened(what: Tokenisation, folder: Path) -> TokenisedDataset:
    return tokenised_dataset.read_tokenised(folder, what.facts)


def _drop(folder: Path) -> None:
    """Delete `folder`; a process that has mapped its files keeps them."""
    # A name that `persona-exp clean` knows, should this be killed half-way.
    dropped = folder.with_name(f".dropped-{folder.name}.{os.uname().nodename}.{os.getpid()}")
    # Another process may have been quicker.
    with suppress(FileNotFoundError):
        folder.rename(dropped)
        shutil.rmtree(dropped)


def _rows(what: Tokenisation, tokenizer: Any) -> Iterator[TokenisedConversation]:
    examples = read_split(Path(what.data), what.split)
    for one in track(examples, f"Tokenising {what.split}", len(examples)) if len(examples) > FEW else examples:
        yield _row(what, tokenizer, one.id, one.messages)


def _row(what: Tokenisation, tokenizer: Any, name: str, messages: prompt_shortening.Messages) -> TokenisedConversation:
    try:
        encoded = supervised_token_mask.encode(tokenizer, messages, what.max_length, what.system_role, what.end_of_turn)
        if not encoded.shortened and not encoded.cut:
            return TokenisedConversation(name, len(encoded.input_ids), encoded)
    except supervised_token_mask.DoesNotFit:
        encoded = None
    except UserError as fault:
        # Raised by the trial that draws it: a template may be unfit for a kind of example that no trial wants.
        return TokenisedConversation(name, 0, None, str(fault))
    return TokenisedConversation(
        name, supervised_token_mask.encoded_length(tokenizer, messages, what.system_role, what.end_of_turn), encoded
    )


def main() -> None:
    """Make what standard input asks for, and say on standard output whether that went well."""
    die_with_parent()
    error = None
    try:
        for fields in json.load(sys.stdin):
            make(Tokenisation(**fields))
    except UserError as fault:
        error = str(fault)
    print(json.dumps({"error": error}))


if __name__ == "__main__":
    main()
