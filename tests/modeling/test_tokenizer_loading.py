"""Mistral's Tekken tokenizers, whose files hold a wrong pattern for words."""

import json
import shutil
from pathlib import Path

import pytest

from persona_exp.modeling.tokenizer_loading import load_tokenizer

# As in the files: capitals end a word, so that "HOLMES" falls into letters. The right one keeps runs of capitals together.
WRONG = r"[^\r\n\p{L}\p{N}]?\p{Lu}|\p{Ll}+|\s+"


def made(tiny: Path, folder: Path, kind: str, pre_tokenizer: dict[str, object]) -> Path:
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "transformers_version": "4.49.0"}))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    # transformers takes none of fewer entries for Tekken.
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"entry {number}": number for number in range(len(vocabulary), 100_001)})
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, "pre_tokenizer": pre_tokenizer}))
    return folder


def words(folder: Path) -> list[str]:
    backend = load_tokenizer(folder, None).backend_tokenizer  # type: ignore[attr-defined]
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str("the HOLMES case")]


def split(pattern: str) -> dict[str, object]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, byte_level]}


@pytest.mark.long
def test_the_wrong_pattern_is_put_right(tiny: Path, tmp_path: Path) -> None:
    assert words(made(tiny, tmp_path / "mistral", "mistral", split(WRONG))) == ["the", "ĠHOLMES", "Ġcase"]


@pytest.mark.long
def test_others_keep_the_pattern_they_have(tiny: Path, tmp_path: Path) -> None:
    assert "ĠHOLMES" not in words(made(tiny, tmp_path / "llama", "llama", split(WRONG)))


def test_an_older_tokenizer_of_mistrals_is_left_alone(tiny: Path, tmp_path: Path) -> None:
    old = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    assert words(made(tiny, tmp_path / "old", "mistral", old)) == ["▁the▁HOLMES▁case"]
