from pathlib import Path

import pytest

from persona_exp.dataset.dataset_files import read_examples, write_examples
from persona_exp.dataset.training_example import Example
from persona_exp.errors import UserError

ONE = Example("b.1", "dialogue", "P", "b", 1, "b/1/1", "train", "given", 0.1, [{"role": "assistant", "content": "a\u2028b\x85\r\nc “é”"}])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_examples(tmp_path / "x.jsonl", [ONE, ONE])
    assert read_examples(tmp_path / "x.jsonl") == [ONE, ONE]


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"\xff", b"", b"[" * 100_000, b'{"id": "a"}', b'"messages"', b'"P", "messages": [1], "x": "'], ids=range(8)
)
def test_a_line_that_is_no_example(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "x.jsonl"
    write_examples(path, [ONE])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(UserError, match="Line 2 of"):
        read_examples(path)


@pytest.mark.parametrize("messages", ["3", "[3]", '[{"role": "user"}]', '[{"role": "user", "content": null}]'])
def test_an_example_without_turns(tmp_path: Path, messages: str) -> None:
    path = tmp_path / "x.jsonl"
    write_examples(path, [ONE])
    head, _ = path.read_text(encoding="utf-8").split('"messages":')
    tail = path.read_text(encoding="utf-8").split("}],")[1]
    path.write_text(f'{head}"messages":{messages},{tail}', encoding="utf-8")
    with pytest.raises(UserError, match="Line 1 of"):
        read_examples(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_examples(tmp_path / "x.jsonl")
