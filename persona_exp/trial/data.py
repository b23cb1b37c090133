"""A trial's dataset: built once under `runs/data/<data_id>/`, shared by all trials that read it."""

from pathlib import Path
from typing import Any

from persona_exp.config.schema import Config
from persona_exp.corpus.library import beside, locate
from persona_exp.dataset import build
from persona_exp.dataset.example import Example
from persona_exp.dataset.mix import draw
from persona_exp.errors import UserError
from persona_exp.files import file_digest
from persona_exp.modeling.cache import cache_folder


def prepare(config: Config) -> str:
    """Build the dataset that `config` asks for, unless it is there; its id. Raises UserError, and then leaves nothing behind."""
    corpus, persona, data = config.corpus, config.persona, config.data
    sources = {name: (entry.id, entry.sha256) for name, entry in corpus.gutenberg.items()}
    books = locate(corpus.dir, corpus.books, sources, cache_folder() / "gutenberg")
    speakers = beside(corpus.dir, corpus.speakers)
    settings: dict[str, Any] = {
        "persona": persona.name,
        "aliases": persona.aliases,
        "narrator": persona.narrator,
        "system_prompt": persona.system_prompt,
        "validation": corpus.validation,
        "test": corpus.test,
        "split": data.split,
        "validation_fraction": data.validation_fraction,
        "test_fraction": data.test_fraction,
        "min_reply_words": data.min_reply_words,
        "max_reply_words": data.max_reply_words,
        "max_context_words": data.max_context_words,
    }
    digests = {name: file_digest(path) for name, path in books.items()}
    data_id = build.data_id(digests, speakers=file_digest(speakers) if speakers else None, **settings)
    build.build(books, _folder(Path(config.runs), data_id), speakers=speakers, **settings)
    _check_use(config, data_id)
    return data_id


def training_examples(config: Config, data_id: str) -> list[Example]:
    """The trial's mix, drawn with `data.seed`."""
    mix = config.data.mix
    weights = {"dialogue": mix.dialogue, "narrative": mix.narrative}
    return draw(read_examples(Path(config.runs), data_id, "train"), weights, size=config.data.size, seed=config.data.seed)


def evaluation_examples(config: Config, data_id: str) -> list[Example]:
    """The replies that the trial is measured on: dialogue of the held-out split, whatever the mix."""
    return [one for one in read_examples(Path(config.runs), data_id, config.evaluation.split) if one.kind == "dialogue"]


def _check_use(config: Config, data_id: str) -> None:
    """Refuse now what a trial would find out hours later. Raises UserError."""
    if config.method.name != "none":
        training_examples(config, data_id)
    if not evaluation_examples(config, data_id):
        raise UserError(f"The {config.evaluation.split} split holds no reply: name a book in corpus.{config.evaluation.split}.")


def read_examples(runs: Path, data_id: str, split: str) -> list[Example]:
    """The examples of one split of a built dataset."""
    return build.read_split(_folder(runs, data_id), split)


def _folder(runs: Path, data_id: str) -> Path:
    return runs / "data" / data_id
