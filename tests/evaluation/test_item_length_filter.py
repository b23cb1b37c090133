"""What does not fit is left out and counted, the same under every condition."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.errors import UserError
from persona_exp.evaluation.evaluation_files import write_evaluation
from persona_exp.evaluation.evaluation_items import prepare_items
from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget
from persona_exp.evaluation.item_length_filter import answerable, scorable
from persona_exp.evaluation.reply_likelihood import ReplyScore

END = "<|im_end|>"
SETTINGS = EvaluationSettings("test", 150, "system", END, 9, 9, 4, 8)


def item(number: int, system: str = "You are Ada.", user: str = "What now?") -> dict[str, Any]:
    turns = {"system": system, "user": user, "assistant": "The lamp is lit."}
    messages = [{"role": role, "content": content} for role, content in turns.items()]
    return {"id": f"item {number}", "book": "lamp", "chapter": 1, "messages": messages}


FITS, TOO_LONG = item(1), item(2, system="You are Ada, who keeps the harbour. " * 12)
# Whatever is taken from its start leaves the one word that it is, which leaves no room for a prompt, or for a reply.
UNBROKEN = item(3, user="x" * 49)


@pytest.mark.parametrize("condition", ["adapter", "base+system", "base"])
def test_every_condition_leaves_out_the_same(tiny: tuple[Any, Any], tmp_path: Path, condition: str) -> None:
    target = EvaluationTarget("e", "t", condition, [FITS, TOO_LONG, item(4)], tmp_path)
    items = prepare_items(tiny[1], target, SETTINGS)
    assert [one["id"] for one in items.scored] == [one["id"] for one in items.answered] == ["item 1", "item 4"]
    assert len(items.encoded) == len(items.texts) == len(items.prompts) == len(items.references) == 2
    assert items.skipped == (1, 1)


def test_what_is_left_out_is_counted_beside_the_figures(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    target = EvaluationTarget("e", "t", "base", [FITS, TOO_LONG], tmp_path)
    items = prepare_items(tiny[1], target, replace(SETTINGS, generated_items=0))
    write_evaluation(target, SETTINGS, items, [ReplyScore(9.0, 4, 1, 16, 10.0, 5)], [], "float32")
    counts = json.loads((tmp_path / "metrics.json").read_text())["counts"]
    assert {name: counts[name] for name in ("available_items", "scored_items", "skipped_items", "skipped_prompts")} == {
        "available_items": 2,
        "scored_items": 1,
        "skipped_items": 1,
        "skipped_prompts": 0,
    }


def test_a_prompt_may_fit_where_a_reply_has_no_room(tiny: tuple[Any, Any]) -> None:
    room = next(length for length in range(16, 300) if _fits(tiny[1], replace(SETTINGS, max_length=length)))
    assert answerable(tiny[1], [UNBROKEN], replace(SETTINGS, max_length=room)) == [UNBROKEN]
    with pytest.raises(UserError, match=r"None of the 1 item of the test split fits into evaluation\.max_length"):
        scorable(tiny[1], [UNBROKEN], replace(SETTINGS, max_length=room))
    assert scorable(tiny[1], [UNBROKEN], replace(SETTINGS, max_length=room + 1)) == [UNBROKEN]
    assert scorable(tiny[1], [], SETTINGS) == []


def _fits(tokenizer: Any, settings: EvaluationSettings) -> bool:
    try:
        return bool(answerable(tokenizer, [UNBROKEN], settings))
    except UserError:
        return False
