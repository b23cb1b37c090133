"""A dataset: built once, addressed by what it is made from."""

import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import canonical_json, digest, file_digest, make_folder, publish, write_json, write_text
from persona_exp.corpus.cast.cast_file import read_cast
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
from persona_exp.corpus.speaker_attribution.speaker_annotations import read_speaker_annotations
from persona_exp.dataset.annotated_book import annotate_book
from persona_exp.dataset.attribution_scenes import scenes, speakers_of_quotes
from persona_exp.dataset.book_shard import BookShard, ShardInput, cached_shard, merge_shards
from persona_exp.dataset.data_id import DATA_VERSION, data_id, recipe_fields
from persona_exp.dataset.dataset_card import write_card
from persona_exp.dataset.dataset_files import PASSAGES_FILE, read_manifest, write_examples
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.decontamination import Audit, audit
from persona_exp.dataset.general_examples import general_examples
from persona_exp.dataset.identity_examples import identity_examples
from persona_exp.dataset.teacher_examples import Rejected, count_rejections, examples_by_rules, examples_from_drafts
from persona_exp.dataset.teacher_requests import ExampleRequest, requests_about_inventions
from persona_exp.dataset.train_test_split import assign_splits, check_held_out_books, passages_sharing_text, split_by_book, split_by_chapter
from persona_exp.dataset.training_example import ATTRIBUTED_KINDS, KINDS, SPLITS, Example
from persona_exp.errors import UserError
from persona_exp.process_signals import die_with_parent
from persona_exp.progress_bar import track
from persona_exp.teacher.concurrent_calls import TeacherCalls, ask_all
from persona_exp.teacher.llm_attribution import ask_speakers
from persona_exp.teacher.rules import RULES_IDENTITY, RulesTeacher

# What is measured on must be surely the persona's, whatever a trial trains on.
HELD_OUT_CONFIDENCE = DEFAULT_CONFIDENCE


def build_dataset(
    books: Mapping[str, Path],
    destination: Path,
    recipe: Recipe,
    *,
    calls: TeacherCalls | None = None,
    speakers: Path | None = None,
    cast: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Build `destination`/{train,validation,test}.jsonl with manifest, audit and card from `books` (file name → path); return the manifest.

    `calls` are to the teacher that writes what the books do not hold (None: rules); `speakers` and `cast` are files of speakers and of
    characters given by hand. The same input gives the same bytes, with any number of `workers` (None: one a core). A finished build is
    returned as it is; of two at once the first to end wins. What each book gives is kept in `destination`/../parts. Raise
    UserError for a book that cannot be read, no quotation by a persona, nothing to train or to test on, or a leak.
    """
    if (destination / "manifest.json").exists():
        return read_manifest(destination)
    _check_recipe(books, recipe)
    # The order in which settings list things is no part of the identity, so it may not show in the bytes.
    books = dict(sorted(books.items()))
    recipe = replace(recipe, kinds=tuple(kind for kind in KINDS if kind in recipe.kinds))
    inputs = _shard_inputs(books, recipe, cast, speakers)
    if recipe.attribution == "teacher" and calls is not None:
        inputs = _with_speakers(inputs, recipe, calls)
    teacher = calls.teacher.identity() if calls else RULES_IDENTITY
    shards = _shards(inputs, destination.parent / "parts", recipe, teacher, RulesTeacher() if calls is None else None, workers)
    examples, requests, left_out, rejected = merge_shards(shards)
    split_of, groups = _splits(books, shards, recipe)
    hidden = _hidden_passages(groups, recipe)
    examples = [one for one in examples if one.passage not in hidden or not one.rule.startswith("teacher ")]
    requests = [one for one in requests if one.passage not in hidden]
    requests += [one for persona in recipe.personas if "contrast" in recipe.kinds for one in requests_about_inventions(persona)]
    examples += (
        examples_by_rules(requests, RulesTeacher(), recipe, rejected)
        if calls is None
        else _examples_by_model(requests, calls, recipe, rejected)
    )
    examples = [one if one.split else replace(one, split=split_of[one.passage]) for one in examples]
    for persona in recipe.personas:
        examples += (
            identity_examples(persona.name, persona.facts, persona.period, persona.system_prompt) if "identity" in recipe.kinds else []
        )
    examples += general_examples() if "general" in recipe.kinds else []
    unsure = [one for one in examples if _unsure(one)]
    left_out["held-out reply too unsure"] += len(unsure)
    examples = [one for one in examples if not _unsure(one)]
    _check(examples, recipe)
    passages = [passage for shard in shards for passage in shard.passages]
    audited = audit(examples, {passage.id: passage.text for passage in passages}, split_of)
    digests = {name: shard.sha256 for name, shard in zip(books, shards, strict=True)}
    by_hand = {"speakers": file_digest(speakers) if speakers else None, "cast": file_digest(cast) if cast else None}
    manifest = {
        "data_id": data_id(recipe, digests, teacher=teacher, **by_hand),
        "DATA_VERSION": DATA_VERSION,
        "recipe": recipe_fields(recipe),
        "personas": [persona.name for persona in recipe.personas],
        "kinds": [kind for kind in KINDS if kind in recipe.kinds],
        "teacher": dict(teacher),
        "counts": _counts(audited.kept),
        "left_out": dict(sorted((+left_out).items())),
        "rejected": {kind: dict(sorted(reasons.items())) for kind, reasons in sorted(rejected.items())},
        "leaked": audited.report["dropped"],
        "books": {name: _about_book(shard) for name, shard in zip(books, shards, strict=True)},
        **by_hand,
    }
    places = [{"id": one.id, "split": split_of[one.id], "start": one.start, "end": one.end, "text": one.text} for one in passages]
    _write(destination, [*books.values(), *filter(None, [speakers, cast])], audited, places, manifest)
    return read_manifest(destination)


def _check_recipe(books: Mapping[str, Path], recipe: Recipe) -> None:
    stems = Counter(Path(name).stem for name in books)
    if stems and stems.most_common(1)[0][1] > 1:
        raise UserError(f"Two of corpus.books are called {stems.most_common(1)[0][0]} before their ending; rename one of the files.")
    for name in recipe.holdout:
        if name not in books:
            raise UserError(f"corpus.holdout names {name}, which is not in corpus.books; add it there or correct the name.")
    if recipe.contextual and not any(persona.contexts for persona in recipe.personas):
        raise UserError("data.system_prompt=contextual needs contexts: write +persona.contexts.BOOK=SENTENCE, or set it to simple.")
    if recipe.split == "book":
        check_held_out_books(list(books), recipe.validation, recipe.test)
        for name in recipe.holdout:
            if name not in (*recipe.validation, *recipe.test):
                raise UserError(f"corpus.holdout names {name}, which trains; name it in corpus.test too.")


def _shard_inputs(books: Mapping[str, Path], recipe: Recipe, cast: Path | None, speakers: Path | None) -> list[ShardInput]:
    given = read_speaker_annotations(speakers) if speakers else None
    personas = [persona.character for persona in recipe.personas]
    return [
        ShardInput(
            path,
            file_digest(path),
            shown=name not in recipe.holdout,
            cast=_cast(personas, read_cast(cast, name) if cast else ()),
            speakers=None if given is None else given.get(name, {}),
        )
        for name, path in books.items()
    ]


def _cast(personas: Sequence[Character], listed: Sequence[Character]) -> tuple[Character, ...]:
    """Return the personas, with what the file of characters knows of them, then the others that it lists."""
    known = {one.name: one for one in listed}
    merged = []
    for persona in personas:
        also = known.pop(persona.name, Character(persona.name))
        aliases = tuple(dict.fromkeys((*persona.aliases, *also.aliases)))
        merged.append(Character(persona.name, aliases, persona.narrator or also.narrator, persona.gender or also.gender))
    return (*merged, *known.values())


def _shards(
    inputs: Sequence[ShardInput], folder: Path, recipe: Recipe, teacher: Mapping[str, Any], rules: RulesTeacher | None, workers: int | None
) -> list[BookShard]:
    workers = min(workers or len(os.sched_getaffinity(0)), len(inputs))
    if workers <= 1:
        return [cached_shard(folder, one, recipe, rules, teacher) for one in track(inputs, "Reading books", len(inputs))]
    # Forking beside the thread that draws the progress bar may copy a lock that nobody will release.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=die_with_parent) as pool:
        futures = [pool.submit(cached_shard, folder, one, recipe, rules, teacher) for one in inputs]
        try:
            return [future.result() for future in track(futures, "Reading books", len(futures))]
        finally:
            pool.shutdown(cancel_futures=True)


def _with_speakers(inputs: Sequence[ShardInput], recipe: Recipe, calls: TeacherCalls) -> list[ShardInput]:
    """Return `inputs` with the speakers that the teacher names in them, all scenes sent at once."""
    books = [annotate_book(one.path, recipe, one.cast, one.speakers) for one in track(inputs, "Reading scenes", len(inputs))]
    hidden = _hidden_passages(passages_sharing_text([passage for book in books for passage in book.passages]), recipe)
    shown = [list(scenes(book, hidden)) if one.shown else [] for one, book in zip(inputs, books, strict=True)]
    answers = iter(ask_speakers(calls, [scene for of_book in shown for scene, _ in of_book]))
    named = [speakers_of_quotes(of_book, [next(answers) for _ in of_book]) for of_book in shown]
    return [replace(one, teacher_speakers=speakers) for one, speakers in zip(inputs, named, strict=True)]


def _hidden_passages(groups: Sequence[Sequence[str]], recipe: Recipe) -> set[str]:
    """Return the passages of other books that a holdout book has too: no teacher may see them there either."""
    held = {Path(name).stem for name in recipe.holdout}
    return {name for group in groups if any(_book(other) in held for other in group) for name in group}


def _book(passage: str) -> str:
    return passage.rsplit("/", 2)[0]


def _splits(books: Mapping[str, Path], shards: Sequence[BookShard], recipe: Recipe) -> tuple[dict[str, str], list[list[str]]]:
    """Return the split of every passage, by its id, and the groups of those that books or chapters share, each of which is in one split."""
    passages = [passage for shard in shards for passage in shard.passages]
    if recipe.split == "book":
        split_of = split_by_book(passages, {name: Path(name).stem for name in books}, recipe.validation, recipe.test)
    else:
        split_of = split_by_chapter(passages, recipe.validation_fraction, recipe.test_fraction)
    groups = passages_sharing_text(passages)
    return assign_splits(passages, split_of, groups), groups


def _examples_by_model(requests: Sequence[ExampleRequest], calls: TeacherCalls, recipe: Recipe, rejected: Rejected) -> list[Example]:
    examples: list[Example] = []
    for one, answer in zip(requests, ask_all(calls, [one.request for one in requests]), strict=True):
        count_rejections(rejected, one.kind, answer.rejected)
        examples += examples_from_drafts(one, answer.drafts, calls.teacher.name, recipe)
    return examples


def _unsure(example: Example) -> bool:
    return example.split != "train" and example.kind in ATTRIBUTED_KINDS and example.confidence < HELD_OUT_CONFIDENCE


def _check(examples: Sequence[Example], recipe: Recipe) -> None:
    if "dialogue" not in recipe.kinds:
        return
    lists = {"validation": recipe.validation, "test": recipe.test} if recipe.split == "book" else {}
    needed = ["train", "test", *(["validation"] if lists.get("validation") else [])]
    for persona in recipe.personas:
        dialogue = [example for example in examples if example.persona == persona.name and example.kind == "dialogue"]
        if not dialogue:
            raise UserError(
                f"No quotation in the books is surely {persona.name}'s; correct persona.name and persona.aliases (`persona-exp corpus cast "
                "FILE` lists who speaks), or the books."
            )
        for split in needed:
            if not any(example.split == split for example in dialogue):
                where = f" in {', '.join(lists[split])}" if lists.get(split) else ""
                raise UserError(
                    f"No {split} item is left{where}: {persona.name} is never surely quoted there; choose other books or chapters."
                )


def _counts(examples: Iterable[Example]) -> dict[str, Any]:
    """Count the examples of each split, kind, persona and book."""
    counts: dict[str, Any] = {split: {} for split in SPLITS}
    for example in sorted(examples, key=lambda one: (KINDS.index(one.kind), one.persona)):
        of_kind = counts[example.split].setdefault(example.kind, {}).setdefault(example.persona, Counter())
        of_kind[example.book] += 1
    return counts


def _about_book(shard: BookShard) -> dict[str, Any]:
    return {"title": shard.title, "sha256": shard.sha256, "chapters": shard.chapters, "words": shard.words, "passages": len(shard.passages)}


def _write(
    destination: Path, sources: Iterable[Path], audited: Audit, passages: Iterable[dict[str, Any]], manifest: dict[str, Any]
) -> None:
    make_folder(destination.parent)
    _clear_abandoned(destination)
    staged = destination.with_name(f".{destination.name}.{os.uname().nodename}.{os.getpid()}")
    staged.mkdir()
    try:
        for split in SPLITS:
            write_examples(staged / f"{split}.jsonl", (example for example in audited.kept if example.split == split))
        write_text(staged / PASSAGES_FILE, "".join(f"{canonical_json(passage)}\n" for passage in passages))
        # What was read stays with what was made of it, whatever becomes of the reader's own copy.
        (staged / "books").mkdir()
        for source in sources:
            shutil.copyfile(source, staged / "books" / source.name)
        digests = {f"{split}.jsonl": file_digest(staged / f"{split}.jsonl") for split in SPLITS}
        write_json(staged / "audit.json", audited.report)
        write_json(staged / "manifest.json", {**manifest, "files": digests, "audit": digest(audited.report)})
        write_card(staged)
        publish(staged, destination)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _clear_abandoned(destination: Path) -> None:
    """Remove the folders that killed builds of this dataset left, as far as they ran on this host."""
    host = os.uname().nodename
    for staged in destination.parent.glob(f".{destination.name}.{host}.*"):
        if not Path(f"/proc/{staged.suffix[1:]}").exists():
            shutil.rmtree(staged, ignore_errors=True)
