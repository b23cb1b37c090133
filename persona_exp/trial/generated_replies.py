"""The replies that evaluations keep, and those of several trials to the same prompts side by side. Reads only; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from persona_exp.atomic_files import canonical_json
from persona_exp.damaged_records import Damaged
from persona_exp.trial.comparability import base_trial_id, basis, differences
from persona_exp.trial.record_files import read_jsonl
from persona_exp.trial.recorded_evaluations import Evaluation, damaged_evaluations, held_out_text, read_evaluations
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.recorded_sweep import SweepTrial

T = TypeVar("T")

# The base model is read with the persona's system prompt: without it, it has not been asked to be anybody.
BASE = "base+system"
CONDITIONS_SAID = {BASE: " + system prompt", "base": ", no system prompt"}


@dataclass(frozen=True)
class GeneratedReply:
    """A reply to a held-out prompt. `prompt` are its messages, `true_line` the authentic reply; `cut` is whether it was ended at the cap,
    `loops` whether it says the same stretch again and again: None in older evaluations, which do not record it."""

    example: str
    book: str
    prompt: tuple[Mapping[str, str], ...]
    true_line: str
    text: str
    cut: bool | None
    loops: bool | None

    @property
    def marks(self) -> list[str]:
        """What a reader has to know of it."""
        found = ["no text"] if not self.text.strip() else []
        return found + (["loops"] if self.loops else []) + (["cut"] if self.cut else [])


@dataclass(frozen=True)
class ReplyColumn:
    """The replies of one evaluation, by example, in the order of the split."""

    trial_id: str
    title: str
    evaluation: Evaluation
    replies: dict[str, GeneratedReply]

    @property
    def is_base(self) -> bool:
        return self.evaluation.condition != "adapter"

    @property
    def looping(self) -> int | None:
        return _count([one.loops for one in self.replies.values()])

    @property
    def cut(self) -> int | None:
        return _count([one.cut for one in self.replies.values()])


@dataclass(frozen=True)
class ReplyComparison:
    """Replies to the same prompts of one held-out text, measured alike: `columns`, base models first. `apart` are the settings in which it
    differs from the other comparisons, empty where there is one."""

    columns: list[ReplyColumn]
    apart: dict[str, Any] = field(default_factory=dict)

    def some_columns(self, limit: int) -> list[ReplyColumn]:
        """Return the base models, and of the others `limit` at equal distances."""
        others = [one for one in self.columns if not one.is_base]
        return [*(one for one in self.columns if one.is_base), *evenly_spaced(others, limit)]

    @property
    def split(self) -> str:
        return self.columns[0].evaluation.split

    @property
    def most_tokens(self) -> Any:
        """The cap of a reply in tokens."""
        return self.columns[0].evaluation.settings.get("max_new_tokens", "?")

    @property
    def system_prompt(self) -> str | None:
        """What all prompts begin with; None where they have no system prompt in common."""
        replies = self.columns[0].replies.values()
        found = {next((one["content"] for one in reply.prompt if one["role"] == "system"), None) for reply in replies}
        return found.pop() if len(found) == 1 else None

    def turns(self, example: str) -> list[Mapping[str, str]]:
        """Return the messages of a prompt, without the system prompt that all have."""
        return [one for one in self.columns[0].replies[example].prompt if one["content"] != self.system_prompt or one["role"] != "system"]

    @property
    def examples(self) -> list[str]:
        """The prompts that all columns answer, in the order of the split."""
        first, *others = self.columns
        return [example for example in first.replies if all(example in one.replies for one in others)]

    @property
    def not_common(self) -> int:
        """How many prompts some answer and others do not, as where one tokeniser makes them too long."""
        return len({example for one in self.columns for example in one.replies}) - len(self.examples)


@dataclass(frozen=True)
class ComparedReplies:
    """`comparisons` of what was measured alike each; `left_out` has a sentence for each evaluation or trial without replies."""

    comparisons: list[ReplyComparison]
    left_out: list[str]


def compare_replies(runs: Path, trials: Sequence[SweepTrial]) -> ComparedReplies:
    """Return the replies of `trials`, each beside those of its own base model, apart where text or protocol differ.

    Of a trial that names its evaluations these are read, of one without names all that it has.
    """
    found: dict[str, list[ReplyColumn]] = {}
    left_out: list[str] = []
    for trial in trials:
        columns = _columns(runs, trial, left_out)
        for column in columns:
            found.setdefault(_measured(runs, column), []).append(column)
    for columns in found.values():
        _add_bases(runs, columns, left_out)
        columns.sort(key=lambda one: not one.is_base)
    # Base models that nothing stands beside, of a sweep with trials that are still to come, are a comparison all the same.
    apart = differences([columns[0].evaluation.protocol for columns in found.values()])
    comparisons = [ReplyComparison(columns, differing) for columns, differing in zip(found.values(), apart, strict=True)]
    return ComparedReplies(comparisons, left_out)


def evenly_spaced(found: Sequence[T], limit: int) -> list[T]:
    """Return `limit` of what was found, at equal distances from the first on; all where there are no more."""
    if len(found) <= limit:
        return list(found)
    return [found[place * len(found) // limit] for place in range(limit)]


def read_replies_of(evaluation: Evaluation) -> dict[str, GeneratedReply]:
    """Return the replies that an evaluation keeps, by example; empty where none were asked for. Raise Damaged where they are not whole."""
    path = evaluation.folder / "generations.jsonl"
    again = f"remove {evaluation.folder} and run the sweep's command again, which evaluates anew"
    try:
        records = read_jsonl(path) if path.is_file() else []
        replies = [_reply(record) for record in records]
    except (KeyError, TypeError, ValueError):
        raise Damaged(f"{path} is not of the form that is written; {again}.") from None
    stated = evaluation.counts.get("spoken_items")
    if stated is not None and stated != len(replies):
        raise Damaged(f"{path} has {len(replies)} replies, and {stated} were made; {again}.")
    return {one.example: one for one in replies}


def _reply(record: Mapping[str, Any]) -> GeneratedReply:
    prompt = tuple({"role": str(one["role"]), "content": str(one["content"])} for one in record["prompt"])
    reason, loops = record.get("finish_reason"), record.get("loops")
    return GeneratedReply(
        example=str(record["example"]),
        book=str(record.get("book", "")),
        prompt=prompt,
        true_line=str(record["reference"]),
        text=str(record["generated"]),
        cut=None if reason is None else reason == "length",
        loops=None if loops is None else bool(loops),
    )


def _columns(runs: Path, trial: SweepTrial, left_out: list[str]) -> list[ReplyColumn]:
    """Return the replies of a trial's evaluations; add to `left_out` why there are none."""
    asked = set(trial.evaluations.values())
    measured = [one for one in read_evaluations(runs, trial.trial_id) if not asked or one.eval_id in asked]
    # A base row is there with the system prompt and without; beside an adapter the former alone compares.
    shown = [one for one in measured if trial.role != "base" or not asked or one.condition == BASE]
    left_out += [sentence for sentence in damaged_evaluations(runs, trial.trial_id) if not asked or any(one in sentence for one in asked)]
    columns = []
    for one in shown:
        try:
            replies = read_replies_of(one)
        except Damaged as error:
            left_out.append(str(error))
            continue
        if replies:
            title = trial.title + CONDITIONS_SAID.get(one.condition, "")
            columns.append(ReplyColumn(trial.trial_id, title, one, replies))
        else:
            left_out.append(f"{trial.title} (trial {trial.trial_id}) has no replies of the {one.split} split: it was measured without any.")
    if not measured:
        left_out.append(f"{trial.title} (trial {trial.trial_id}) has not been measured yet.")
    return columns


def _add_bases(runs: Path, columns: list[ReplyColumn], left_out: list[str]) -> None:
    """Add the base models that the adapters of `columns` rest on and that are not there yet, as far as they were measured alike."""
    present = {_ground(runs, one) for one in columns if one.is_base}
    for column in [one for one in columns if not one.is_base]:
        ground = _ground(runs, column)
        if ground in present:
            continue
        present.add(ground)
        base = _base_of(runs, column, left_out)
        if base:
            columns.append(base)
        else:
            left_out.append(f"The base model of {column.title} (trial {column.trial_id}) has no replies that were made in the same way.")


def _base_of(runs: Path, column: ReplyColumn, left_out: list[str]) -> ReplyColumn | None:
    trial_id = base_trial_id(provenance_if_whole(runs, column.trial_id).get("identity") or {})
    if trial_id is None:
        return None
    entry = SweepTrial(trial_id, "base", {}, {})
    measured = [one for one in read_evaluations(runs, entry.trial_id) if one.condition == BASE]
    alike = next((one.eval_id for one in measured if one.protocol == column.evaluation.protocol), None)
    found = _columns(runs, replace(entry, evaluations={BASE: alike}), left_out) if alike else []
    return found[0] if found else None


def _ground(runs: Path, column: ReplyColumn) -> str:
    return basis(provenance_if_whole(runs, column.trial_id)).ground


def _measured(runs: Path, column: ReplyColumn) -> str:
    """Return what is equal where the same held-out text was answered in the same way."""
    text = held_out_text(runs, basis(provenance_if_whole(runs, column.trial_id)), column.evaluation.split)
    return canonical_json([text, column.evaluation.protocol])


def _count(found: Sequence[bool | None]) -> int | None:
    """Return how many are true; None where it is not recorded."""
    return None if None in found else sum(map(bool, found))
