import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.atomic_files import canonical_json
from persona_exp.dataset.conversation_formats import FORMATS, read_conversations, write_conversations
from persona_exp.dataset.training_example import Example
from persona_exp.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["two\nlines", "a\u2028b\x85c\x0bd", '"“ \\ 🦜', " "]
)
# As TRL, ShareGPT and others take them: anybody may begin, somebody answers.
ANY_TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT), max_size=5).map(lambda turns: [*turns, ("assistant", "So.")])
ALTERNATING = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3).map(
    lambda pairs: [turn for question, answer in pairs for turn in (("user", question), ("assistant", answer))]
)
SYSTEM = st.none() | TEXT


def example(turns: list[tuple[str, str]], system: str | None = None, **changes: Any) -> Example:
    messages = [{"role": role, "content": content} for role, content in [("system", system), *turns] if content is not None]
    fields: dict[str, Any] = {"kind": "dialogue", "persona": "P", "book": "b", "chapter": 2, "passage": "b/2/1", "split": "validation"}
    return Example(**{"id": "b.1.dialogue", **fields, "rule": "given", "confidence": 0.25, **changes}, messages=messages)


def both_ways(examples: list[Example], folder: Path, format: str, by_name: bool) -> list[Example]:
    path = folder / "examples.jsonl"
    assert write_conversations(examples, path, format) == len(examples)
    return read_conversations(path, format if by_name else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@settings(max_examples=60)
@given(st.sampled_from(["messages", "prompt-completion", "sharegpt"]), ANY_TURNS, SYSTEM, TEXT, st.floats(0, 1), st.booleans())
def test_any_conversation_survives(
    folder: Path, format: str, turns: list[tuple[str, str]], system: str | None, name: str, confidence: float, by_name: bool
) -> None:
    one = example(turns, system, persona=name, rule=name, confidence=confidence)
    assert both_ways([one, one], folder, format, by_name) == [one, one]


@settings(max_examples=60)
@given(ALTERNATING, SYSTEM, TEXT, st.booleans())
def test_alpaca_keeps_what_alternates(folder: Path, turns: list[tuple[str, str]], system: str | None, name: str, by_name: bool) -> None:
    one = example(turns, system, persona=name)
    assert both_ways([one], folder, "alpaca", by_name) == [one]


@settings(max_examples=60)
@given(ALTERNATING, SYSTEM, st.booleans())
def test_mistral_keeps_the_conversation(folder: Path, turns: list[tuple[str, str]], system: str | None, by_name: bool) -> None:
    one = example(turns, system)
    if any(not content.strip() for _, content in turns):
        with pytest.raises(UserError, match="a turn is empty"):
            both_ways([one], folder, "mistral", by_name)
        return
    (back,) = both_ways([one], folder, "mistral", by_name)
    assert back.messages == [message for message in one.messages if message["content"].strip()]
    assert (back.id, back.kind, back.split, back.chapter, back.confidence) == ("examples.1", "", "", 0, 0.0)


def test_the_keys_are_those_that_other_programs_read(tmp_path: Path) -> None:
    one = example([("user", "Who?"), ("assistant", "I."), ("user", "Where?"), ("assistant", "Here.")], "Be P.")
    lines = {}
    for format in FORMATS:
        write_conversations([one], tmp_path / "x.jsonl", format)
        lines[format] = json.loads((tmp_path / "x.jsonl").read_text())
        assert (tmp_path / "x.jsonl").read_text() == canonical_json(lines[format]) + "\n"
    metadata = {
        "id": "b.1.dialogue",
        "kind": "dialogue",
        "persona": "P",
        "book": "b",
        "chapter": 2,
        "passage": "b/2/1",
        "split": "validation",
        "rule": "given",
        "confidence": 0.25,
    }
    assert lines["messages"] == {**metadata, "messages": one.messages}
    assert lines["prompt-completion"] == {"prompt": one.messages[:-1], "completion": one.messages[-1:], "metadata": metadata}
    turns = [("system", "Be P."), ("human", "Who?"), ("gpt", "I."), ("human", "Where?"), ("gpt", "Here.")]
    assert lines["sharegpt"] == {"conversations": [{"from": who, "value": what} for who, what in turns], "metadata": metadata}
    assert lines["alpaca"] == {
        "instruction": "Where?",
        "input": "",
        "output": "Here.",
        "system": "Be P.",
        "history": [["Who?", "I."]],
        "metadata": metadata,
    }
    assert lines["mistral"] == {"messages": one.messages}


@pytest.mark.parametrize(
    ("line", "turns"),
    [
        ({"prompt": "Who?", "completion": "I."}, [("user", "Who?"), ("assistant", "I.")]),
        ({"instruction": "Say it.", "input": "Now.", "output": "It."}, [("user", "Say it.\nNow."), ("assistant", "It.")]),
        (
            {"system": "Be P.", "conversations": [{"from": "user", "value": "Who?"}, {"from": "chatgpt", "value": "I."}], "id": "7"},
            [("system", "Be P."), ("user", "Who?"), ("assistant", "I.")],
        ),
        ({"messages": [{"role": "assistant", "content": "I.", "weight": 1}], "split": None}, [("assistant", "I.")]),
    ],
)
def test_what_other_programs_write(tmp_path: Path, line: dict[str, Any], turns: list[tuple[str, str]]) -> None:
    path = tmp_path / "val.json"
    for text in (json.dumps([line]), "\ufeff" + json.dumps(line) + "\r\n\r\n"):
        path.write_text(text)
        (one,) = read_conversations(path)
        assert [(message["role"], message["content"]) for message in one.messages] == turns
        assert (one.id, one.split, one.passage) == ("val.1", "validation", "")


GOOD = json.dumps({"messages": [{"role": "assistant", "content": "I."}]})
NOT_ONE = "is no conversation"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "none of the keys"),
        ('{"messages": 1}', "messages is not a list"),
        ('{"messages": []}', "nobody answers"),
        ('{"messages": ["I."]}', "turn 1 of messages is not an object"),
        ('{"messages": [{"role": "assistant"}]}', "turn 1 of messages is not an object with role and content"),
        ('{"messages": [{"role": "tool", "content": "I."}]}', "by 'tool'"),
        ('{"messages": [{"role": [], "content": "I."}]}', NOT_ONE),
        ('{"messages": [{"role": "assistant", "content": null}]}', "turn 1 of messages is not a text"),
        ('{"messages": [{"role": "assistant", "content": "\\ud800"}]}', "half of a character"),
        ('{"messages": [{"role": "assistant", "content": "I."}], "chapter": "two"}', "chapter is not a number"),
        ('{"messages": [{"role": "assistant", "content": "I."}], "chapter": 1e999}', "chapter is not a number"),
        ('{"conversations": {}}', "conversations is not a list"),
        ('{"prompt": 3, "completion": "I."}', "prompt is not a text"),
        ('{"instruction": "Who?", "output": "I.", "history": [["a"]]}', "history is not a list of pairs"),
        ('{"instruction": "Who?"}', "output is not a text"),
        ('{"prompt": "Who?", "completion": "I.", "metadata": []}', "metadata is not an object"),
    ],
)
def test_a_bad_line_gets_one_sentence_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(UserError, match=r"^Line 3 of") as raised:
        read_conversations(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    with pytest.raises(UserError, match="cannot be read"):
        read_conversations(path)
    path.write_bytes(b"{}\n\xff\n")
    with pytest.raises(UserError, match=r"Line 2 of .* is not UTF-8"):
        read_conversations(path)
    path.write_text(f"[{GOOD},\n{GOOD},\n{{}}]")
    with pytest.raises(UserError, match="Conversation 3 of"):
        read_conversations(path)
    path.write_text(f"[{GOOD},\n{GOOD},\n]")
    with pytest.raises(UserError, match=r"train\.jsonl is not JSON: .* \(line 3\)"):
        read_conversations(path)
    for call in (lambda: read_conversations(path, "csv"), lambda: write_conversations([], path, "csv")):
        with pytest.raises(UserError, match="There is no format csv; take one of messages"):
            call()
    path.write_text("")
    assert read_conversations(path) == []


def test_what_a_format_cannot_hold_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good, bad = (
        example([("user", "Who?"), ("assistant", "I.")]),
        example([("assistant", "I."), ("user", "Who?"), ("assistant", "I.")], id="b.9"),
    )
    for format in ("alpaca", "mistral"):
        with pytest.raises(UserError, match=r"The example b\.9 does not fit the format .*take turns"):
            write_conversations([good, bad], path, format)
        assert not path.exists()
    path.write_text(GOOD)
    with pytest.raises(UserError, match="take turns"):
        read_conversations(path, "mistral")
