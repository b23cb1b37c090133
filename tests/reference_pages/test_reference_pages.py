"""The pages of docs/reference that follow from the code: up to date and whole. `python -m reference_pages` writes them anew."""

import argparse
import re
from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

import pytest

from persona_exp.cli.main import command_parser
from persona_exp.config.range_checks import at_least, between, one_of, positive
from persona_exp.config.schema import Config
from reference_pages.__main__ import PAGES, ROOT
from reference_pages.setting_identity import POINTS, composed_points, id_of_setting
from reference_pages.setting_ranges import setting_ranges
from reference_pages.setting_tables import described

SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
LEVELS = ("low", "high")


@dataclass
class Group:
    r: int = 1
    alpha: float = 1
    share: float = 0
    level: str = "low"
    lease: float = 30
    beat: float = 10
    first: float = 0
    second: float = 0

    def __post_init__(self) -> None:
        if self.r is not None:
            positive("group.r", self.r)
        at_least("group.alpha", self.alpha, 16)
        between("group.share", self.share, 0, 2**10 - 1)
        one_of("group.level", self.level, LEVELS)
        at_least("group.lease", self.lease, 3 * self.beat)
        for name in ("first", "second"):
            at_least(f"group.{name}", getattr(self, name), 0)


def groups(kind, prefix=""):
    for one in fields(kind):
        hint = get_type_hints(kind)[one.name]
        if is_dataclass(hint):
            yield from groups(hint, f"{prefix}{one.name}.")
        else:
            yield kind, f"{prefix}{one.name}", one.name


@pytest.mark.long
@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_what_the_code_says(path, monkeypatch):
    monkeypatch.delenv("PERSONA_EXP_RUNS", raising=False)
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path](), f"{path} is not up to date: python -m reference_pages"


def test_each_setting_is_listed_with_its_sentence():
    for kind, key, name in groups(Config):
        (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*$", SETTINGS, re.MULTILINE)
        assert row.endswith(f"| {described(kind)[name]} |"), row


def test_each_sentence_of_a_setting_is_one():
    for kind, key, name in groups(Config):
        sentence = described(kind)[name]
        assert sentence[0].isupper() or sentence[0] == "`" or sentence.startswith("transformers'"), key
        assert sentence.endswith("."), key
        assert len(sentence.split()) <= 30, key


def test_ranges_are_read_off_the_checks():
    assert setting_ranges(Group) == {
        "group.r": "above 0",
        "group.alpha": "at least 16",
        "group.share": "0 to 1,023",
        "group.level": "low, high",
        "group.lease": "at least 3 × group.beat",
        "group.first": "at least 0",
        "group.second": "at least 0",
    }


@pytest.mark.long
def test_the_id_of_a_setting_is_found_by_changing_it():
    points = composed_points()
    assert len(points) == len(POINTS)
    for key, expected in {
        "lora.r": "trial",
        "train.eval_items": "trial",
        "train.stop_at_step": "trial",
        "persona.contexts": "data",
        "teacher.temperature": "data",
        "others": "data",
        "model.revision": "weights",
        "evaluation.max_length": "evaluation",
        "train.checkpoint_steps": "no",
        "cluster.partition": "no",
    }.items():
        assert id_of_setting(key, points) == expected, key
    assert id_of_setting("train.micro_batch_size", points, outside=True) == "trial, with train.router_aux_loss=true"


def test_each_command_is_listed():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")

    def names(parser):
        verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        return [name for action in verbs for inner in action.choices.values() for name in (names(inner) or [inner.prog])]

    assert [f"### {name}" for name in names(command_parser())] == re.findall(r"^### persona-exp.*$", text, re.MULTILINE)
