"""A dataset's card. When its text changes on purpose: read the new one, then copy it to golden/card.md."""

import json
import random
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from persona_exp.dataset.dataset_card import card, markdown, write_card
from persona_exp.dataset.dataset_files import write_examples
from persona_exp.dataset.decontamination import audit
from persona_exp.dataset.mix_plot import plot_mix
from persona_exp.dataset.training_example import KINDS, SPLITS, Example
from persona_exp.errors import UserError

GOLDEN = Path(__file__).parent / "golden" / "card.md"
BOOKS = {"train": "tide", "validation": "bell", "test": "ferry"}
MANIFEST: dict[str, Any] = {
    "data_id": "0123456789ab",
    "DATA_VERSION": 2,
    "personas": ["Tobias Wrexham", "Edwin Pell"],
    "teacher": {"name": "rules", "prompts": "5e" * 32},
    "left_out": {"reply too short": 1200, "attribution too unsure": 7},
    "rejected": {"qa": {"not in the first person": 3}, "narrative": {}},
    "books": {
        f"{book}.txt": {"title": f"The {book.title()} | a Story", "sha256": f"{number}a" * 32, "chapters": 2, "words": 1500 * number}
        for number, book in enumerate(BOOKS.values(), start=1)
    },
}


def conversations() -> list[Example]:
    chance = random.Random(0)
    examples = []
    for number in range(150):
        split = SPLITS[(number % 10) // 8 + (number % 10) // 9]
        kind = KINDS[number % 8]
        persona = "" if kind == "general" else ("Tobias Wrexham", "Edwin Pell")[number % 3 // 2]
        book = kind if kind in ("general", "identity") else BOOKS[split]
        words = [f"w{chance.randrange(10**6)}" for _ in range(12 + number % 40)]
        messages = [{"role": "user", "content": " ".join(words[:10])}, {"role": "assistant", "content": " ".join(words[10:])}]
        prompt = [{"role": "system", "content": f"You are {persona}."}] if persona else []
        rule, confidence = (("given", 1.0), ("verb-subject", 0.97), ("alternation", 0.62))[number % 5 % 3]
        passage = f"{book}/1/{number}"
        examples.append(Example(f"{book}.{number}", kind, persona, book, 1, passage, split, rule, confidence, prompt + messages))
    leak = examples[9]
    messages = [{"role": "user", "content": "And what then?"}, leak.messages[-1]]
    return [*examples, Example("tide.999", "dialogue", leak.persona, "tide", 1, "tide/1/999", "train", "given", 1.0, messages)]


def dataset(folder: Path) -> Path:
    kept, report = audit(conversations(), {})
    for split in SPLITS:
        write_examples(folder / f"{split}.jsonl", (one for one in kept if one.split == split))
    (folder / "audit.json").write_text(json.dumps(report))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


def test_the_card_is_the_golden_one(tmp_path: Path) -> None:
    written = write_card(dataset(tmp_path))
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8")) == written


def test_counts_add_up(tmp_path: Path) -> None:
    described = card(dataset(tmp_path))
    assert described["examples"] == 150 == sum(described["splits"].values())
    assert sum(count for of in described["mix"].values() for kinds in of.values() for count in kinds.values()) == 150
    assert sum(of[split] for of in described["replies"].values() for split in SPLITS) == 150
    assert sum(of[split] for of in described["books"].values() for split in SPLITS) == 150
    attributed = sum(described["replies"][kind][split] for kind in ("dialogue", "transformed", "hypothetical") for split in SPLITS)
    assert sum(of["examples"] for of in described["attribution"]["rules"].values()) == attributed
    assert sum(described["attribution"]["confidence"].values()) == attributed
    assert described["audit"]["dropped"]["train"] == {"same reply": 1}


def test_a_folder_with_little_in_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no example"):
        card(tmp_path)
    write_examples(tmp_path / "train.jsonl", [one for one in conversations() if one.kind == "general"])
    text = markdown(write_card(tmp_path))
    assert "has not been audited" in text
    assert "Nothing here rests on who speaks" in text
    assert "teacher's style" not in text
    assert "confidence is a rule's own" not in text
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        card(tmp_path)


def test_the_plot_has_the_same_bytes_whatever_the_settings(tmp_path: Path) -> None:
    mix = card(dataset(tmp_path))["mix"]
    plot_mix(mix, tmp_path / "a.png")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):
        plot_mix(mix, tmp_path / "b.png")
        assert mpl.rcParams["font.size"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
    mix["train"]["Edwin Pell"]["qa"] += 40
    plot_mix(mix, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    plot_mix({"train": {"P": {"of another kind": 3}}}, tmp_path / "b.png")
    plot_mix({}, tmp_path / "b.png")
    assert not list(tmp_path.glob(".*"))
