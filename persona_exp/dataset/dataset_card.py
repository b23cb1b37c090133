"""A dataset's card: what is in it, where it comes from, what was left out, and what it is not good for."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from persona_exp.atomic_files import write_json, write_text
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
from persona_exp.dataset.dataset_files import read_examples
from persona_exp.dataset.decontamination import ORDER
from persona_exp.dataset.mix_plot import plot_mix
from persona_exp.dataset.training_example import ATTRIBUTED_KINDS, KINDS, SPLITS, Example
from persona_exp.errors import UserError

# Lower ends; a confidence of 1 has a bin of its own, for speakers named by hand.
CONFIDENCE_BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
NOTHING = "—"
NUMBER = re.compile(r"[\d.,–—]+")


def write_card(folder: Path) -> dict[str, Any]:
    """Write card.json, card.md and mix.png into the folder of a dataset, the same bytes for the same dataset, and return the card."""
    described = card(folder)
    write_json(folder / "card.json", described)
    write_text(folder / "card.md", markdown(described))
    plot_mix(described["mix"], folder / "mix.png")
    return described


def card(folder: Path) -> dict[str, Any]:
    """Return what the files of a dataset hold: its examples, counted, its manifest and its audit as far as they are there.

    Shares and confidences are fractions. Raise UserError if there is no example.
    """
    examples = [one for split in SPLITS if (folder / f"{split}.jsonl").is_file() for one in read_examples(folder / f"{split}.jsonl")]
    if not examples:
        raise UserError(f"{folder} holds no example in train.jsonl, validation.jsonl or test.jsonl; build the dataset first.")
    manifest, audited = _read(folder / "manifest.json"), _read(folder / "audit.json")
    versions = {"DATA_VERSION": manifest.get("DATA_VERSION"), "AUDIT_VERSION": audited.get("AUDIT_VERSION")}
    identity = {"data_id": manifest.get("data_id"), **versions, "teacher": manifest.get("teacher"), "files": manifest.get("files")}
    by_hand = {name: manifest[name] for name in ("speakers", "cast") if manifest.get(name)}
    return {
        "identity": {name: value for name, value in identity.items() if value is not None} | by_hand,
        "personas": _order(manifest.get("personas", []), _personas(examples)),
        "examples": len(examples),
        "splits": {split: sum(one.split == split for one in examples) for split in SPLITS},
        "mix": _mix(examples),
        "system_prompts": _prompts(examples),
        "replies": {kind: _lengths([one for one in examples if one.kind == kind]) for kind in _kinds(examples)},
        "books": _books(examples, manifest.get("books", {})),
        "attribution": _attribution([one for one in examples if one.kind in ATTRIBUTED_KINDS]),
        "left_out": dict(sorted(manifest.get("left_out", {}).items())),
        "rejected": {kind: dict(sorted(reasons.items())) for kind, reasons in sorted(manifest.get("rejected", {}).items()) if reasons},
        "audit": {name: audited[name] for name in ("totals", "dropped", "thresholds") if name in audited},
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise UserError(f"{path} is not JSON; delete {path.parent} and build the dataset again.") from None
    return value if isinstance(value, dict) else {}


def _order(first: Sequence[str], every: Sequence[str]) -> list[str]:
    return [*first, *(name for name in every if name not in first)]


def _kinds(examples: Sequence[Example]) -> list[str]:
    return _order([kind for kind in KINDS if any(one.kind == kind for one in examples)], sorted({one.kind for one in examples}))


def _personas(examples: Sequence[Example]) -> list[str]:
    return sorted({one.persona for one in examples if one.persona and one.kind != "general"})


def _voices(examples: Sequence[Example]) -> list[str]:
    """Return the personas, and behind them the assistant of general chat, who is none."""
    return _order(_personas(examples), sorted({one.persona for one in examples}))


def _mix(examples: Sequence[Example]) -> dict[str, dict[str, dict[str, int]]]:
    """Count the examples of each split, persona and kind."""
    counted = Counter((one.split, one.persona, one.kind) for one in examples)
    personas, kinds = _voices(examples), _kinds(examples)
    return {
        split: {
            persona: {kind: counted[split, persona, kind] for kind in kinds if counted[split, persona, kind]}
            for persona in personas
            if any(counted[split, persona, kind] for kind in kinds)
        }
        for split in SPLITS
    }


def _prompts(examples: Sequence[Example]) -> dict[str, int]:
    """Count the different system prompts of each persona; none is one too."""
    prompts = {(one.persona, *(turn["content"] for turn in one.messages if turn["role"] == "system")) for one in examples}
    counted = Counter(persona for persona, *_ in prompts)
    return {persona: counted[persona] for persona in _voices(examples)}


def _lengths(examples: Sequence[Example]) -> dict[str, Any]:
    """Describe the replies of one kind: how many, and how many words."""
    lengths = [len(one.reply.split()) for one in examples]
    splits = Counter(one.split for one in examples)
    return {
        **{split: splits[split] for split in SPLITS},
        "words": sum(lengths),
        "median_words": float(median(lengths)),
        "fewest_words": min(lengths),
        "most_words": max(lengths),
        "different": len({one.reply for one in examples}),
    }


def _books(examples: Sequence[Example], sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return by book, first those of the manifest, where it comes from, and its examples by split."""
    counted = Counter((one.book, one.split) for one in examples)
    about = {Path(name).stem: {"file": name, **source} for name, source in sources.items()}
    return {
        book: {**about.get(book, {}), **{split: counted[book, split] for split in SPLITS}}
        for book in _order(list(about), sorted({one.book for one in examples}))
    }


def _attribution(examples: Sequence[Example]) -> dict[str, Any]:
    """Describe by which rules the speakers of attributed examples were found, and how surely."""
    by_rule: dict[str, list[float]] = {}
    for one in examples:
        by_rule.setdefault(one.rule, []).append(one.confidence)
    ordered = sorted(by_rule.items(), key=lambda item: (-len(item[1]), item[0]))
    bins = Counter(max(low for low in CONFIDENCE_BINS if low <= max(0.0, one.confidence)) for one in examples)
    return {
        "rules": {rule: {"examples": len(found), "mean_confidence": round(sum(found) / len(found), 4)} for rule, found in ordered},
        "confidence": {_bin(low): bins[low] for low in CONFIDENCE_BINS if bins[low]},
        "sure": {"at_least": DEFAULT_CONFIDENCE, "examples": sum(one.confidence >= DEFAULT_CONFIDENCE for one in examples)},
    }


def _bin(low: float) -> str:
    later = [end for end in CONFIDENCE_BINS if end > low]
    return f"{low:.2f} to {later[0]:.2f}" if later else f"{low:.2f}"


def markdown(described: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    identity, personas = described["identity"], described["personas"]
    voices = " and ".join(", ".join(personas).rsplit(", ", 1)) or "nobody in particular"
    parts = [
        f"# Dataset {identity.get('data_id', '')}".rstrip(),
        f"{_number(described['examples'])} conversations in the voice of {voices}, from {_counted(_read_books(described), 'book')}: "
        f"{', '.join(f'{_number(count)} {split}' for split, count in described['splits'].items())}.",
        "![Examples by split, persona and kind](mix.png)",
        "## Examples",
        _table(
            ["kind", *SPLITS, "words", "median words a reply", "shortest–longest", "different replies"],
            [
                [kind, *(of[split] for split in SPLITS), of["words"], f"{of['median_words']:g}", _range(of), of["different"]]
                for kind, of in described["replies"].items()
            ],
        ),
        "## Voices",
        _table(
            ["persona", *SPLITS, "system prompts", "kinds"],
            [_voice(described, name) for name in _order(personas, list(described["system_prompts"]))],
        ),
        "## Books",
        _table(
            ["book", "title", "words", *SPLITS, "SHA-256"],
            [
                [book, of.get("title", NOTHING), of.get("words", NOTHING), *(of[split] for split in SPLITS), _short(of.get("sha256"))]
                for book, of in described["books"].items()
            ],
        ),
        "## Who speaks",
        *_who_speaks(described["attribution"]),
        "## Left out",
        *_left_out(described),
        "## Leak audit",
        *_audit(described["audit"]),
        "## Identity",
        _table(["what", "value"], _identity(identity)),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(described)),
    ]
    return "\n\n".join(parts) + "\n"


def limits(described: Mapping[str, Any]) -> list[str]:
    """Return what a reader of results on this dataset should know; only what holds for what is in it."""
    kinds = described["replies"]
    written = [kind for kind in kinds if kind not in ("dialogue", "general", "identity")]
    lines = []
    if any(kind in ATTRIBUTED_KINDS for kind in kinds):
        lines.append(
            "Who speaks was decided as the table above says. A confidence is a rule's own estimate, not a measurement on these books: some "
            "replies are another character's. A higher corpus.min_confidence trains on fewer and surer ones."
        )
    if written:
        lines.append(
            f"Examples of the kinds {', '.join(written)} may be a teacher's words or the narration's, turned to the persona's voice, and "
            "not the author's dialogue; where they are measured on, the teacher's style is measured too."
        )
    if "contrast" in kinds:
        lines.append("Contrast examples take a character to know only what happens where it is named; the books may say otherwise.")
    lines += [
        "Held out are whole books or chapters. The audit finds text that is repeated word for word or with up to a fifth of its words "
        "changed; it finds no paraphrase, and no memory of these books that the base model brings along.",
        "Replies under 8 words are compared only together with the line that they answer.",
        "Counts are of what can be drawn; a trial's data.mix weights and data.size decide what it trains on.",
        "Old novels speak of people as their time did. Whether the books may be used and passed on is for the person who "
        "chose them to know.",
    ]
    return lines


def _read_books(described: Mapping[str, Any]) -> int:
    """Count the books that were read; kinds without a book stand in the place of one."""
    return sum("file" in of for of in described["books"].values()) or sum(book not in KINDS for book in described["books"])


def _voice(described: Mapping[str, Any], persona: str) -> list[Any]:
    counts = [described["mix"][split].get(persona, {}) for split in SPLITS]
    kinds = _order([kind for kind in KINDS if any(kind in of for of in counts)], sorted({kind for of in counts for kind in of}))
    return [persona or "(no persona)", *(sum(of.values()) for of in counts), described["system_prompts"].get(persona, 0), ", ".join(kinds)]


def _who_speaks(attribution: Mapping[str, Any]) -> list[str]:
    if not attribution["rules"]:
        return ["Nothing here rests on who speaks in the books."]
    rules = [[rule, of["examples"], f"{of['mean_confidence']:.2f}"] for rule, of in attribution["rules"].items()]
    sure = attribution["sure"]
    return [
        f"{sure['examples']:,} of {sum(attribution['confidence'].values()):,} are as sure as corpus.min_confidence wants by default "
        f"({sure['at_least']:g}): only those are trained on unless it is lowered.",
        "By the rule that gave the reply its speaker:",
        _table(["rule", "examples", "mean confidence"], rules),
        "By confidence:",
        _table(["confidence", "examples"], [[low, count] for low, count in attribution["confidence"].items()]),
    ]


def _left_out(described: Mapping[str, Any]) -> list[str]:
    parts = []
    if described["left_out"]:
        parts += [
            "While making examples:",
            _table(["reason", "count"], [[reason, count] for reason, count in described["left_out"].items()]),
        ]
    if described["rejected"]:
        rows = [[kind, reason, count] for kind, reasons in described["rejected"].items() for reason, count in reasons.items()]
        parts += ["Of what the teacher wrote:", _table(["kind", "reason", "count"], rows)]
    return parts or ["Nothing was counted as left out."]


def _audit(audited: Mapping[str, Any]) -> list[str]:
    if not audited:
        return ["This dataset has not been audited."]
    totals, dropped = audited.get("totals", {}), audited.get("dropped", {})
    lines = [
        f"{_number(of['dropped'])} of {_number(of['examples'])} {split} examples were dropped ({100 * of['fraction']:.2g} %)"
        for split, of in totals.items()
        if split != "test" or of["dropped"]
    ]
    rows = [[reason, *(dropped.get(split, {}).get(reason, 0) for split in SPLITS)] for reason in ORDER]
    found = [row for row in rows if any(row[1:])]
    note = "audit.json lists what was compared, the thresholds and samples."
    return [f"{'; '.join(lines)}. {note}" if lines else note, *([_table(["reason", *SPLITS], found)] if found else [])]


def _identity(identity: Mapping[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, value in identity.items():
        if isinstance(value, Mapping):
            rows += [[f"{name}: {key}", _code(of)] for key, of in value.items()]
        else:
            rows.append([name, _code(value)])
    return rows


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)}`"


def _short(sha256: str | None) -> str:
    return f"`{sha256[:12]}`" if sha256 else NOTHING


def _range(lengths: Mapping[str, Any]) -> str:
    return f"{_number(lengths['fewest_words'])}–{_number(lengths['most_words'])}"


def _counted(count: int, noun: str) -> str:
    return f"{_number(count)} {noun}{'' if count == 1 else 's'}"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any]) -> str:
        return f"| {' | '.join(' '.join(_number(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"

    right = ["---:" if rows and all(NUMBER.fullmatch(str(row[place])) for row in rows) else "---" for place in range(len(head))]
    return "\n".join([line(head), f"| {' | '.join(right)} |", *map(line, rows)])
