"""A dataset: built once, addressed by what it is made from."""

import json
import logging
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persona_exp.corpus.cast.characters import read_cast
from persona_exp.corpus.quotation.given import read_given
from persona_exp.corpus.speakers import DEFAULT_CONFIDENCE, Character
from persona_exp.dataset.asked import Asked, ask_about_inventions
from persona_exp.dataset.attribution import scenes, told
from persona_exp.dataset.audit import PASSAGES, Audit, audit
from persona_exp.dataset.card import write_card
from persona_exp.dataset.derived import Rejected, count, derive, examples_of
from persona_exp.dataset.example import ATTRIBUTED_KINDS, KINDS, SPLITS, Example
from persona_exp.dataset.general import general
from persona_exp.dataset.identity import identity
from persona_exp.dataset.jsonl import read_examples, write_examples
from persona_exp.dataset.part import Material, Part, kept_part, merge
from persona_exp.dataset.recipe import DATA_VERSION, Recipe, data_id, recipe_fields
from persona_exp.dataset.source import read_source
from persona_exp.dataset.split import assign, by_book, by_chapter, check_lists, together
from persona_exp.errors import UserError
from persona_exp.files import canonical_json, digest, file_digest, publish, write_json, write_text
from persona_exp.process import die_with_parent
from persona_exp.progress import track
from persona_exp.teacher.ask import ask_all
from persona_exp.teacher.budget import Budget
from persona_exp.teacher.completion import LanguageModel
from persona_exp.teacher.request import Teacher
from persona_exp.teacher.rules import Rules
from persona_exp.teacher.speakers import ask_speakers

log = logging.getLogger(__name__)

# What the rules' answers depend on is this code, which DATA_VERSION stands for.
RULES: Mapping[str, Any] = {"name": "rules"}
# What is measured on must be surely the persona's, whatever a trial trains on.
HELD_OUT_CONFIDENCE = DEFAULT_CONFIDENCE


@dataclass(frozen=True)
class Asking:
    """A language model as teacher: where its answers are kept, what it may use, and how many calls may be under way at once."""

    teacher: LanguageModel
    cache: Path
    budget: Budget
    concurrency: int


def build(
    books: Mapping[str, Path],
    destination: Path,
    recipe: Recipe,
    *,
    asking: Asking | None = None,
    speakers: Path | None = None,
    cast: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Build `destination`/{train,validation,test}.jsonl with manifest, audit and card from `books` (file name → path); the manifest.

    `asking` is the teacher that writes what the books do not hold (None: rules); `speakers` and `cast` are files of speakers and of
    characters given by hand. The same input gives the same bytes, with any number of `workers` (None: one a core). A finished build is
    returned as it is; of two at once the first to end wins. What each book gives is kept in `destination`/../parts. UserError: a book
    that cannot be read, no quotation by a persona, nothing to train or to test on, or a leak.
    """
    if (destination / "manifest.json").exists():
        return read_manifest(destination)
    _check_recipe(books, recipe)
    # The order in which settings list things is no part of the identity, so it may not show in the bytes.
    books = dict(sorted(books.items()))
    recipe = replace(recipe, kinds=tuple(kind for kind in KINDS if kind in recipe.kinds))
    materials = _materials(books, recipe, cast, speakers)
    if recipe.attribution == "teacher" and asking is not None:
        materials = _with_speakers(materials, recipe, asking)
    teacher = asking.teacher.identity() if asking else RULES
    parts = _parts(materials, destination.parent / "parts", recipe, teacher, Rules() if asking is None else None, workers)
    examples, asked, left_out, rejected = merge(parts)
    split_of, groups = _splits(books, parts, recipe)
    hidden = _hidden(groups, recipe)
    examples = [one for one in examples if one.passage not in hidden or not one.rule.startswith("teacher ")]
    asked = [one for one in asked if one.passage not in hidden]
    asked += [one for persona in recipe.personas if "contrast" in recipe.kinds for one in ask_about_inventions(persona)]
    examples += derive(asked, Rules(), recipe, rejected) if asking is None else _answers(asked, asking, recipe, rejected)
    examples = [one if one.split else replace(one, split=split_of[one.passage]) for one in examples]
    for persona in recipe.personas:
        examples += identity(persona.name, persona.facts, persona.period, persona.system_prompt) if "identity" in recipe.kinds else []
    examples += general() if "general" in recipe.kinds else []
    unsure = [one for one in examples if _unsure(one)]
    left_out["held-out reply too unsure"] += len(unsure)
    examples = [one for one in examples if not _unsure(one)]
    _check(examples, recipe)
    passages = [passage for part in parts for passage in part.passages]
    audited = audit(examples, {passage.id: passage.text for passage in passages}, split_of)
    digests = {name: part.sha256 for name, part in zip(books, parts, strict=True)}
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
        "books": {name: _about(part) for name, part in zip(books, parts, strict=True)},
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
        check_lists(list(books), recipe.validation, recipe.test)
        for name in recipe.holdout:
            if name not in (*recipe.validation, *recipe.test):
                raise UserError(f"corpus.holdout names {name}, which trains; name it in corpus.test too.")


def _materials(books: Mapping[str, Path], recipe: Recipe, cast: Path | None, speakers: Path | None) -> list[Material]:
    given = read_given(speakers) if speakers else None
    personas = [persona.character for persona in recipe.personas]
    return [
        Material(
            path,
            file_digest(path),
            shown=name not in recipe.holdout,
            cast=_cast(personas, read_cast(cast, name) if cast else ()),
            speakers=None if given is None else given.get(name, {}),
        )
        for name, path in books.items()
    ]


def _cast(personas: Sequence[Character], listed: Sequence[Character]) -> tuple[Character, ...]:
    """The personas, with what the file of characters knows of them, then the others that it lists."""
    known = {one.name: one for one in listed}
    together = []
    for persona in personas:
        also = known.pop(persona.name, Character(persona.name))
        aliases = tuple(dict.fromkeys((*persona.aliases, *also.aliases)))
        together.append(Character(persona.name, aliases, persona.narrator or also.narrator, persona.gender or also.gender))
    return (*together, *known.values())


def _parts(
    materials: Sequence[Material], folder: Path, recipe: Recipe, teacher: Mapping[str, Any], rules: Teacher | None, workers: int | None
) -> list[Part]:
    workers = min(workers or len(os.sched_getaffinity(0)), len(materials))
    if workers <= 1:
        return [kept_part(folder, one, recipe, rules, teacher) for one in track(materials, "Reading books", len(materials))]
    # Forking beside the thread that draws the progress bar may copy a lock that nobody will release.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=die_with_parent) as pool:
        futures = [pool.submit(kept_part, folder, one, recipe, rules, teacher) for one in materials]
        try:
            return [future.result() for future in track(futures, "Reading books", len(futures))]
        finally:
            pool.shutdown(cancel_futures=True)


def _with_speakers(materials: Sequence[Material], recipe: Recipe, asking: Asking) -> list[Material]:
    """`materials` with the speakers that the teacher names in them, all scenes asked about at once."""
    sources = [read_source(one.path, recipe, one.cast, one.speakers) for one in track(materials, "Reading scenes", len(materials))]
    hidden = _hidden(together([passage for source in sources for passage in source.passages]), recipe)
    shown = [list(scenes(source, hidden)) if one.shown else [] for one, source in zip(materials, sources, strict=True)]
    asked = [scene for of_book in shown for scene, _ in of_book]
    answers = iter(ask_speakers(asking.teacher, asked, cache=asking.cache, budget=asking.budget, concurrency=asking.concurrency))
    answered = [told(of_book, [next(answers) for _ in of_book]) for of_book in shown]
    return [replace(one, told=speakers) for one, speakers in zip(materials, answered, strict=True)]


def _hidden(groups: Sequence[Sequence[str]], recipe: Recipe) -> set[str]:
    """The passages of other books that a holdout book has too: no teacher may see them there either."""
    held = {Path(name).stem for name in recipe.holdout}
    return {name for group in groups if any(_book(other) in held for other in group) for name in group}


def _book(passage: str) -> str:
    return passage.rsplit("/", 2)[0]


def _splits(books: Mapping[str, Path], parts: Sequence[Part], recipe: Recipe) -> tuple[dict[str, str], list[list[str]]]:
    """The split of every passage, by its id, and the groups of those that books or chapters share, each of which is in one split."""
    passages = [passage for part in parts for passage in part.passages]
    if recipe.split == "book":
        split_of = by_book(passages, {name: Path(name).stem for name in books}, recipe.validation, recipe.test)
    else:
        split_of = by_chapter(passages, recipe.validation_fraction, recipe.test_fraction)
    groups = together(passages)
    return assign(passages, split_of, groups), groups


def _answers(asked: Sequence[Asked], asking: Asking, recipe: Recipe, rejected: Rejected) -> list[Example]:
    examples: list[Example] = []
    requests = [one.request for one in asked]
    answers = ask_all(asking.teacher, requests, cache=asking.cache, budget=asking.budget, concurrency=asking.concurrency)
    for one, answer in zip(asked, answers, strict=True):
        count(rejected, one.kind, answer.rejected)
        examples += examples_of(one, answer.drafts, asking.teacher.name, recipe)
    return examples


def _unsure(example: Example) -> bool:
    return example.split != "train" and example.kind in ATTRIBUTED_KINDS and example.confidence < HELD_OUT_CONFIDENCE


def _check(examples: Sequence[Example], recipe: Recipe) -> None:
    if "dialogue" not in recipe.kinds:
        return
    lists = {"validation": recipe.validation, "test": recipe.test} if recipe.split == "book" else {}
    needed = ["train", "test", *(["validation"] if lists.get("validation") else [])]
    for persona in recipe.personas:
        said = [example for example in examples if example.persona == persona.name and example.kind == "dialogue"]
        if not said:
            raise UserError(
                f"No quotation in the books is surely {persona.name}'s; correct persona.name and persona.aliases (`persona-exp corpus cast "
                "FILE` lists who speaks), or the books."
            )
        for split in needed:
            if not any(example.split == split for example in said):
                where = f" in {', '.join(lists[split])}" if lists.get(split) else ""
                raise UserError(
                    f"No {split} item is left{where}: {persona.name} is never surely quoted there; choose other books or chapters."
                )


def _counts(examples: Iterable[Example]) -> dict[str, Any]:
    """How many examples of each split, kind, persona and book."""
    counts: dict[str, Any] = {split: {} for split in SPLITS}
    for example in sorted(examples, key=lambda one: (KINDS.index(one.kind), one.persona)):
        of_kind = counts[example.split].setdefault(example.kind, {}).setdefault(example.persona, Counter())
        of_kind[example.book] += 1
    return counts


def _about(part: Part) -> dict[str, Any]:
    return {"title": part.title, "sha256": part.sha256, "chapters": part.chapters, "words": part.words, "passages": len(part.passages)}


def _write(
    destination: Path, sources: Iterable[Path], audited: Audit, passages: Iterable[dict[str, Any]], manifest: dict[str, Any]
) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(destination)
    staged = destination.with_name(f".{destination.name}.{os.uname().nodename}.{os.getpid()}")
    staged.mkdir()
    try:
        for split in SPLITS:
            write_examples(staged / f"{split}.jsonl", (example for example in audited.kept if example.split == split))
        write_text(staged / PASSAGES, "".join(f"{canonical_json(passage)}\n" for passage in passages))
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
    """Remove what builds of this dataset on this host left when they were killed."""
    host = os.uname().nodename
    for staged in destination.parent.glob(f".{destination.name}.{host}.*"):
        if not Path(f"/proc/{staged.suffix[1:]}").exists():
            shutil.rmtree(staged, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built dataset. UserError: there is none."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} is not a built dataset; delete it and build it again.") from None
    return manifest


def read_split(folder: Path, split: str) -> list[Example]:
    """The examples of one split of a built dataset. UserError: the file is not the one that was built."""
    path = folder / f"{split}.jsonl"
    expected = read_manifest(folder)["files"].get(path.name)
    if not path.is_file() or file_digest(path) != expected:
        raise UserError(f"{path} has changed since it was built; delete {folder} and build it again.")
    return read_examples(path)
