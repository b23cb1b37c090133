"""Decontamination by the leak audit: nothing that is tested on may be trained on, nor chosen by."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from persona_exp.dataset.conversation_formats import read_conversations, split_of_file
from persona_exp.dataset.dataset_files import PASSAGES_FILE
from persona_exp.dataset.near_duplicates import (
    CHANGED,
    PASSAGE_WINDOW,
    SHORTEST,
    WINDOW,
    Keys,
    find_copies,
    find_formulas,
    find_runs,
    numbered,
    shingles,
    words,
)
from persona_exp.dataset.training_example import SPLITS, Example
from persona_exp.errors import UserError
from persona_exp.progress_bar import ProgressMeter, progress

# Raise by one whenever the same examples give another report.
AUDIT_VERSION = 1
# A larger part is no self-quotation, but a wrong split.
MAX_LEAK = 0.05
# A kind of example stops the build by itself only from so many: of twelve examples one leak says nothing.
ENOUGH_OF_A_KIND = 20
RUN = 13
# A run of words in examples of more passages than this is a template or a catchphrase, and tells nothing about any of them.
FORMULA = 5
SAMPLES = 5

# Their answers repeat by design ("I never heard of it, sir"): what must not repeat is the question, or the question with its answer.
STOCK = ("contrast", "identity")
# Without a passage: each comes from a template, and its question is the template's.
TEMPLATED = ("identity", "general")

LINEAGE = "passage of another split"
TEMPLATE = "template of another split"
PASSAGE = "passage copied in another split"
CONVERSATION = "same question and reply"
REPLY = "same reply"
RUNS = f"{RUN} words in a row"
NEAR = "near-copy"
ORDER = (LINEAGE, TEMPLATE, PASSAGE, CONVERSATION, REPLY, RUNS, NEAR)

SIDES = (("validation", ("test",)), ("train", ("validation", "test")))


class Audit(NamedTuple):
    """`kept`: the examples without those that leak. `report`: what was compared, dropped and why; plain JSON."""

    kept: list[Example]
    report: dict[str, Any]


@dataclass(frozen=True)
class Leak:
    """`example` is to go for `reason`; `other` is the id of the example or passage that it gives away, `text` what they share."""

    example: Example
    reason: str
    other: str
    text: str = ""


def audit(
    examples: Sequence[Example],
    passages: Mapping[str, str],
    split_of: Mapping[str, str] | None = None,
    *,
    max_leak: float | None = MAX_LEAK,
) -> Audit:
    """Return `examples` without those that leak into a split held out further (train < validation < test), and the report.

    `passages` and `split_of` map a passage's id to its text and its split, as far as these are known. Compared are, in this order:
    the split of an example and that of its passage; templates; passages; whole conversations; replies; runs of 13 words; near-copies
    with up to a fifth of their words changed, also inside a longer text. Everybody says "Of course.": a reply under 8 words leaks
    only with the same question. A reply of the kinds `STOCK` leaks only so either.

    Raise UserError if more than `max_leak` of the training examples leak, or of one kind of them (20 and more); None never stops.
    """
    leaks = list(_misplaced(examples, split_of or {}))
    compared: dict[str, Any] = {}
    gone = {id(leak.example) for leak in leaks}
    held_out = [(name, text) for name, text in passages.items() if (split_of or {}).get(name) in ("validation", "test")]
    ignored = _ignored(examples)
    with progress("Auditing", 4 * len(SIDES)) as meter:
        for split, others in SIDES:
            left = [one for one in examples if one.split == split and id(one) not in gone]
            right = [one for one in examples if one.split in others and id(one) not in gone]
            beyond = [(name, text) for name, text in held_out if (split_of or {})[name] in others]
            found, counts = _compare(left, right, passages, beyond, ignored, meter)
            leaks += found
            gone |= {id(leak.example) for leak in found}
            compared[f"{split} × {' + '.join(others)}"] = {
                split: len(left),
                "held out": len(right),
                "passages held out": len(beyond),
                **counts,
            }
    report = _report(examples, leaks, compared)
    if max_leak is not None:
        _refuse(examples, leaks, max_leak)
    return Audit([one for one in examples if id(one) not in gone], report)


def audit_folder(folder: Path, format: str | None = None) -> Audit:
    """Audit any folder with train and validation or test files, in one of the conversation formats (None: found from the file); never
    refuse.

    Where examples say which passage and which split they come from, or the build's list of passages is there, lineage is checked too.
    Raise UserError if there are no such files, or one of them cannot be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".json")) if folder.is_dir() else []
    files = [(path, split_of_file(path)) for path in paths if split_of_file(path)]
    splits = {split for _, split in files}
    if "train" not in splits or len(splits) < 2:
        raise UserError(f"{folder} holds no two splits to compare; name its files train.jsonl and validation.jsonl or test.jsonl.")
    examples: list[Example] = []
    texts, split_of = _passages(folder / PASSAGES_FILE)
    for path, split in files:
        for one in read_conversations(path, format):
            examples.append(replace(one, split=split))
            if one.passage and one.split != split and one.split in SPLITS:
                split_of[one.passage] = max(one.split, split_of.get(one.passage, one.split), key=SPLITS.index)
    return audit(_with_stock(examples), texts, split_of, max_leak=None)


def _with_stock(examples: Sequence[Example]) -> list[Example]:
    """Return `examples` with the kind restored of those that give one answer to many questions, where a format has lost it."""
    questions: dict[str, set[str]] = {}
    for one in examples:
        questions.setdefault(one.reply, set()).add(one.messages[-2]["content"] if len(one.messages) > 1 else "")
    return [replace(one, kind=STOCK[0]) if not one.kind and len(questions[one.reply]) > FORMULA else one for one in examples]


def _passages(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the text and the split of each passage, by its id, as a build wrote them; nothing where there is no such file."""
    if not path.is_file():
        return {}, {}
    try:
        passages = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {one["id"]: one["text"] for one in passages}, {one["id"]: one["split"] for one in passages}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged; build the dataset again, or delete the file to audit without it.") from None


def normalised(text: str) -> str:
    """Return the words of `text` in lower case, with one blank between."""
    return " ".join(words(text))


def _misplaced(examples: Sequence[Example], split_of: Mapping[str, str]) -> Iterator[Leak]:
    """Yield breaches of lineage: an example must stand where its passage does, and a passage or template in one split only, the one held
    out furthest."""
    furthest: dict[str, Example] = {}
    for one in sorted(examples, key=lambda one: -SPLITS.index(one.split)):
        if split_of.get(one.passage, one.split) == one.split:
            furthest.setdefault(one.passage, one)
    for one in examples:
        if split_of.get(one.passage, one.split) != one.split:
            yield Leak(one, LINEAGE, one.passage, f"made from {one.passage}, which is in {split_of[one.passage]}")
        elif one.passage and furthest[one.passage].split != one.split:
            yield Leak(one, TEMPLATE if one.kind in TEMPLATED else LINEAGE, furthest[one.passage].id, f"both from {one.passage}")


def _compare(
    left: Sequence[Example],
    right: Sequence[Example],
    passages: Mapping[str, str],
    beyond: Sequence[tuple[str, str]],
    ignored: Keys,
    meter: ProgressMeter,
) -> tuple[list[Leak], dict[str, int]]:
    """Return the leaks of `left` into `right` and into the passages held out `beyond`: for each example the first reason that is found."""
    leaks = _copied_passages(left, right, passages, beyond)
    meter.advance()
    leaks |= _same(_without(left, leaks), right)
    meter.advance()
    turns = [(one, text) for one in _without(left, leaks) if one.kind not in STOCK for text in _turns(one)]
    theirs = [(one.id, text) for one in right if one.kind not in STOCK for text in _turns(one)] + list(beyond)
    for place, other, offset in find_runs([text for _, text in turns], [text for _, text in theirs], RUN, ignored):
        one, text = turns[place]
        leaks.setdefault(id(one), Leak(one, RUNS, theirs[other][0], " ".join(words(text)[offset : offset + RUN])))
    meter.advance()
    near = [(one, text) for one in _without(left, leaks) if one.kind not in STOCK for text in _own(one)]
    theirs = [(one.id, text) for one in right if one.kind not in STOCK for text in _own(one)] + list(beyond)
    for copy in find_copies([text for _, text in near], [text for _, text in theirs]):
        one, text = near[copy.left]
        leaks.setdefault(id(one), Leak(one, NEAR, theirs[copy.right][0], text))
    meter.advance()
    short = sum(len(words(one.reply)) < SHORTEST for one in left)
    return list(leaks.values()), {"turns compared": len(turns), "replies too short to compare alone": short}


def _ignored(examples: Sequence[Example]) -> Keys:
    """Return the runs of words that are no leak: those of system prompts, and formulas."""
    prompts = sorted({message["content"] for one in examples for message in one.messages if message["role"] == "system"})
    turns = [(one.passage or one.id, text) for one in examples if one.kind not in STOCK for text in _turns(one)]
    formulas = find_formulas([text for _, text in turns], [source for source, _ in turns], RUN, FORMULA)
    return np.union1d(shingles(numbered(prompts), RUN)[0], formulas)


def _copied_passages(
    left: Sequence[Example], right: Sequence[Example], passages: Mapping[str, str], beyond: Sequence[tuple[str, str]]
) -> dict[int, Leak]:
    theirs = dict(beyond) | {one.passage: passages[one.passage] for one in right if one.passage in passages}
    ours = {one.passage: passages[one.passage] for one in left if one.passage in passages and one.passage not in theirs}
    whole = {normalised(text): name for name, text in reversed(theirs.items())}
    copied = {name: whole[normalised(text)] for name, text in ours.items() if whole.get(normalised(text)) and normalised(text)}
    names, their_names = [name for name in ours if name not in copied], list(theirs)
    for copy in find_copies([ours[name] for name in names], [theirs[name] for name in their_names], PASSAGE_WINDOW):
        copied[names[copy.left]] = their_names[copy.right]
    return {id(one): Leak(one, PASSAGE, copied[one.passage], ours[one.passage]) for one in left if one.passage in copied}


def _same(left: Sequence[Example], right: Sequence[Example]) -> dict[int, Leak]:
    """Find equal conversations, questions of templates and replies in what is held out."""
    known: dict[tuple[str, str], str] = {}
    for one in right:
        for key in _keys(one):
            known.setdefault(key, one.id)
    leaks: dict[int, Leak] = {}
    for one in left:
        for reason, text in _keys(one):
            if (reason, text) in known:
                leaks.setdefault(id(one), Leak(one, reason, known[reason, text], one.reply))
    return leaks


def _keys(one: Example) -> Iterator[tuple[str, str]]:
    turns = [normalised(message["content"]) for message in one.messages if message["role"] != "system"]
    yield CONVERSATION, "\n".join(turns)
    if one.kind in TEMPLATED:
        yield TEMPLATE, "\n".join(turns[:-1])
    if one.kind not in STOCK and len(turns[-1].split()) >= SHORTEST:
        yield REPLY, turns[-1]


def _turns(one: Example) -> list[str]:
    return [message["content"] for message in one.messages if message["role"] != "system"]


def _own(one: Example) -> list[str]:
    """Return what is compared for near-copies: the replies, and of real dialogue (or unknown text) the lines that they answer.

    The questions of other kinds are written by a teacher, and resemble each other."""
    roles = ("user", "assistant") if one.kind in ("dialogue", "") else ("assistant",)
    return [message["content"] for message in one.messages if message["role"] in roles]


def _without(examples: Sequence[Example], leaks: Mapping[int, Leak]) -> list[Example]:
    return [one for one in examples if id(one) not in leaks]


def _report(examples: Sequence[Example], leaks: Sequence[Leak], compared: Mapping[str, Any]) -> dict[str, Any]:
    totals = Counter(one.split for one in examples)
    dropped = Counter(leak.example.split for leak in leaks)
    kinds = Counter((one.split, one.kind) for one in examples)
    of_kind = Counter((leak.example.split, leak.example.kind) for leak in leaks)
    reasons = Counter((leak.example.split, leak.reason) for leak in leaks)
    splits = [split for split in SPLITS if totals[split]]
    samples: list[dict[str, str]] = []
    for split, reason in sorted(reasons):
        of_reason = [leak for leak in leaks if (leak.example.split, leak.reason) == (split, reason)]
        for leak in sorted(of_reason, key=lambda leak: leak.example.id)[:SAMPLES]:
            shown = leak.text if len(leak.text) <= 200 else f"{leak.text[:199]}…"
            samples.append({"split": split, "reason": reason, "id": leak.example.id, "other": leak.other, "text": shown})
    return {
        "AUDIT_VERSION": AUDIT_VERSION,
        "totals": {split: _part(dropped[split], totals[split]) for split in splits},
        "dropped": {split: {reason: reasons[split, reason] for reason in ORDER if reasons[split, reason]} for split in splits},
        "kinds": {split: {kind: _part(of_kind[split, kind], kinds[split, kind]) for kind in _kinds(kinds, split)} for split in splits},
        "samples": samples,
        "compared": dict(compared),
        "thresholds": {
            "largest part of the training examples": MAX_LEAK,
            "words in a row": RUN,
            "words changed in a near-copy, at most one in": CHANGED,
            "words of a reply compared alone, at least": SHORTEST,
            "words of a stretch inside longer replies": WINDOW,
            "words of a stretch inside longer passages": PASSAGE_WINDOW,
            "passages that make a run a formula, more than": FORMULA,
        },
    }


def _part(dropped: int, examples: int) -> dict[str, Any]:
    return {"examples": examples, "dropped": dropped, "fraction": round(dropped / examples, 6)}


def _kinds(counts: Mapping[tuple[str, str], int], split: str) -> list[str]:
    return sorted(kind for of_split, kind in counts if of_split == split)


def _refuse(examples: Sequence[Example], leaks: Sequence[Leak], max_leak: float) -> None:
    """Raise UserError where more leaks than authors quote themselves."""
    groups = [("", [one for one in examples if one.split == "train"])]
    groups += [(kind, [one for one in groups[0][1] if one.kind == kind]) for kind in sorted({one.kind for one in groups[0][1]})]
    for kind, training in groups:
        found = [leak for leak in leaks if leak.example.split == "train" and kind in ("", leak.example.kind)]
        if len(found) <= max_leak * len(training) or (kind and len(found) < ENOUGH_OF_A_KIND):
            continue
        reason, count = Counter(leak.reason for leak in found).most_common(1)[0]
        first = min((leak for leak in found if leak.reason == reason), key=lambda leak: leak.example.id)
        raise UserError(
            f"{len(found)} of {len(training)} training examples{f' of the kind {kind}' if kind else ''} are also in what is held out "
            f"({count} for: {reason}, for example {first.example.id} and {first.other}); take the duplicate text out of corpus.books, or "
            "hold out other books or chapters."
        )
