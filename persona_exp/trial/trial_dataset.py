"""A trial's dataset: built once under `runs/data/<data_id>/`, shared by all trials that read it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import file_digest
from persona_exp.config import schema
from persona_exp.config.close_name import did_you_mean
from persona_exp.config.schema import MIX_KINDS, Config
from persona_exp.corpus.book_locations import file_beside_books, locate_books
from persona_exp.dataset.build import build_dataset
from persona_exp.dataset.data_id import data_id
from persona_exp.dataset.dataset_files import read_manifest, read_split
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.mix import draw_mix
from persona_exp.dataset.training_example import Example
from persona_exp.errors import UserError
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.teacher.concurrent_calls import TeacherCalls
from persona_exp.teacher.local_teacher import LocalTeacher
from persona_exp.teacher.openai_teacher import OpenAITeacher
from persona_exp.teacher.rules import RULES_IDENTITY
from persona_exp.teacher.token_and_money_budget import Budget

# One to three words with capitals, as names of people are.
_NAME = re.compile(r"\b[A-Z][\w’'-]+(?: [A-Z][\w’'-]+){0,2}\b")


@dataclass(frozen=True)
class _Source:
    """What a dataset is made from: files of books by their names, of speakers and of characters, and the language model that teaches."""

    data_id: str
    books: Mapping[str, Path]
    speakers: Path | None
    cast: Path | None
    teacher: OpenAITeacher | LocalTeacher | None


def prepare(config: Config, workers: int | None = None) -> str:
    """Build the dataset that `config` asks for, unless it is there; return its id. Raise UserError, and then leave nothing behind."""
    identity = build_trial_dataset(config, workers)
    _check_use(config, identity)
    return identity


def build_trial_dataset(config: Config, workers: int | None = None) -> str:
    """Like `prepare`, whether or not the trial could use it."""
    source = _source(config)
    calls = _teacher_calls(source.teacher, config.teacher, Path(config.runs), source.data_id) if source.teacher else None
    folder, given = dataset_folder(Path(config.runs), source.data_id), {"speakers": source.speakers, "cast": source.cast}
    build_dataset(source.books, folder, recipe_of(config), calls=calls, **given, workers=workers)
    return source.data_id


def dataset_id(config: Config) -> str:
    """Return the id of the dataset that `config` asks for, built or not. Raise UserError where a book is not there."""
    return _source(config).data_id


def refuse_to_ask(config: Config) -> None:
    """Raise UserError where the data of `config` are not built, and a language model would write them: for what may cost nothing."""
    if config.engine.name == "noop" or config.teacher.name == "rules":
        return
    if not (dataset_folder(Path(config.runs), dataset_id(config)) / "manifest.json").is_file():
        raise UserError(
            f"A dry run asks no teacher, and teacher={config.teacher.name} has not written these data yet: `persona-exp data build` with "
            "the same settings does so, and engine=noop counts the trials without data."
        )


def _source(config: Config) -> _Source:
    corpus, recipe = config.corpus, recipe_of(config)
    gutenberg = {name: (entry.id, entry.sha256) for name, entry in corpus.gutenberg.items()}
    books = locate_books(corpus.dir, corpus.books, gutenberg, cache_folder() / "gutenberg")
    speakers, cast = file_beside_books(corpus.dir, corpus.speakers, "speakers"), file_beside_books(corpus.dir, corpus.cast, "cast")
    teacher = language_model(config.teacher)
    if corpus.attribution == "teacher" and teacher is None:
        raise UserError("corpus.attribution=teacher needs a language model: set teacher=openai or local, or corpus.attribution=rules.")
    identity = data_id(
        recipe,
        {name: file_digest(path) for name, path in books.items()},
        teacher=teacher.identity() if teacher else RULES_IDENTITY,
        speakers=file_digest(speakers) if speakers else None,
        cast=file_digest(cast) if cast else None,
    )
    return _Source(identity, books, speakers, cast, teacher)


def language_model(teacher: schema.teacher.Teacher) -> OpenAITeacher | LocalTeacher | None:
    """Return the language model that a config names as teacher; None for the rules. Raise UserError where it cannot be used."""
    if teacher.name == "openai":
        return OpenAITeacher(
            teacher.model,
            base_url=teacher.base_url,
            api_key_variable=teacher.api_key_variable,
            temperature=teacher.temperature,
            max_output_tokens=teacher.max_output_tokens,
            seed=teacher.seed,
            timeout_seconds=teacher.timeout_seconds,
            retries=teacher.retries,
        )
    return LocalTeacher(teacher.model, max_output_tokens=teacher.max_output_tokens) if teacher.name == "local" else None


def _teacher_calls(model: OpenAITeacher | LocalTeacher, teacher: schema.teacher.Teacher, runs: Path, data_id: str) -> TeacherCalls:
    """Answers are kept for all datasets together; what one dataset has used is counted for it alone."""
    kept = runs / "teacher"
    budget = Budget(
        max_tokens=teacher.max_total_tokens,
        max_cost=teacher.max_cost,
        input_price_per_million=teacher.input_price_per_million,
        output_price_per_million=teacher.output_price_per_million,
        ledger=kept / f"spent-{data_id}.json",
    )
    return TeacherCalls(model, kept / "answers", budget, teacher.concurrency)


def recipe_of(config: Config) -> Recipe:
    """Return the part of a config that decides its dataset, as plain values."""
    corpus, data = config.corpus, config.data
    personas = tuple(_persona(one) for one in (config.persona, *config.others.values()))
    if len({persona.name for persona in personas}) < len(personas):
        raise UserError("Two personas have the same name; give each entry of others its own persona.")
    return Recipe(
        personas=personas,
        validation=tuple(corpus.validation),
        test=tuple(corpus.test),
        holdout=tuple(corpus.holdout),
        split=data.split,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction,
        passages=data.passages,
        passage_words=data.passage_words,
        chunk_characters=data.chunk_characters,
        chunk_overlap=data.chunk_overlap,
        min_reply_words=data.min_reply_words,
        max_reply_words=data.max_reply_words,
        max_context_words=data.max_context_words,
        kinds=tuple(data.kinds),
        attribution=corpus.attribution,
        contextual=data.system_prompt == "contextual",
    )


def _persona(persona: schema.persona.Persona) -> Persona:
    return Persona(
        name=persona.name,
        aliases=tuple(persona.aliases),
        narrator=persona.narrator,
        pronoun=persona.pronoun,
        period=persona.period,
        system_prompt=persona.system_prompt,
        facts=dict(persona.facts),
        contexts=dict(persona.contexts),
        evasions=tuple(persona.evasions),
    )


def training_examples(config: Config, data_id: str) -> list[Example]:
    """Return the trial's mix, drawn with `data.seed`."""
    mix, data = config.data.mix, config.data
    examples = read_examples(Path(config.runs), data_id, "train")
    _check_mix(examples, config, dataset_folder(Path(config.runs), data_id))
    return draw_mix(
        examples,
        {kind: getattr(mix, kind) for kind in MIX_KINDS},
        data.size,
        data.seed,
        books=mix.books,
        personas=mix.personas,
        min_confidence=config.corpus.min_confidence,
    )


def evaluation_examples(config: Config, data_id: str) -> list[Example]:
    """Return the replies that the trial is measured on: the persona's dialogue of the held-out split, whatever the mix."""
    return _replies(config, data_id, config.evaluation.split)


def validation_examples(config: Config, data_id: str) -> list[Example]:
    """Return the replies that the trial is validated on while it trains. Raise UserError where the validation split has none."""
    found = _replies(config, data_id, "validation")
    if not found:
        raise UserError("The validation split holds no reply for train.eval_steps to look at: name a book in corpus.validation.")
    return found


def _replies(config: Config, data_id: str, split: str) -> list[Example]:
    examples = read_examples(Path(config.runs), data_id, split)
    return [one for one in examples if one.kind == "dialogue" and one.persona == config.persona.name]


def _check_mix(examples: Sequence[Example], config: Config, folder: Path) -> None:
    """Raise UserError where the mix wants a kind that this teacher wrote no example of."""
    for kind in MIX_KINDS:
        if getattr(config.data.mix, kind) > 0 and not any(one.kind == kind for one in examples):
            if kind in ("narrative", "qa", "transformed", "hypothetical", "contrast") and config.teacher.name == "rules":
                rejected: Mapping[str, Any] = read_manifest(folder).get("rejected", {}).get(kind, {})
                why = f" ({sum(rejected.values())} were turned down)" if rejected else ""
                raise UserError(
                    f"The rules write no {kind} example for {config.persona.name}{why}; set data.mix.{kind}=0, or teacher=openai or local."
                )
            meant = name_in_books(folder, config.persona.name) if kind == "dialogue" else "."
            raise UserError(f"There is no example of the kind {kind} for {config.persona.name}; set data.mix.{kind}=0{meant}")


def name_in_books(folder: Path, name: str) -> str:
    """Return a sentence's end with the name in a dataset's books that is most like `name`; a full stop where none is, or it is there."""
    lines = (folder / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    found = Counter(_NAME.findall(" ".join(json.loads(line)["text"].replace("\n", " ") for line in lines)))
    return "." if name in found else did_you_mean(name, [one for one, times in found.items() if times > 1])


def _check_use(config: Config, data_id: str) -> None:
    """Raise UserError for what a trial would find out hours later."""
    if config.method.name != "none":
        training_examples(config, data_id)
    if "dialogue" not in config.data.kinds:
        raise UserError("data.kinds leaves out dialogue, which trials are measured on; add it there (data.mix.dialogue=0 trains on none).")
    if not evaluation_examples(config, data_id):
        raise UserError(f"The {config.evaluation.split} split holds no reply: name a book in corpus.{config.evaluation.split}.")
    if config.method.name != "none" and config.train.eval_steps is not None:
        validation_examples(config, data_id)


def read_examples(runs: Path, data_id: str, split: str) -> list[Example]:
    """Return the examples of one split of a built dataset."""
    return read_split(dataset_folder(runs, data_id), split)


def dataset_folder(runs: Path, data_id: str) -> Path:
    """Return where a dataset is built."""
    return runs / "data" / data_id
