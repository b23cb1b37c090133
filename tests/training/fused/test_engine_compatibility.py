"""Which engine may train a model: shipped, kept, or tried."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from persona_exp.modeling.tiny_test_model import fetch_tiny
from persona_exp.training.fused import engine_compatibility as module
from persona_exp.training.fused.engine_compatibility import SHIPPED, check_compatibility, engine_compatibility, key_of, longest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_tiny(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERSONA_EXP_CACHE", str(tmp_path))
    return tmp_path / "compatibility"


def test_what_is_shipped_is_what_is_found_here(folder):
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    now = (module.libraries(), module.code())
    assert (shipped["libraries"], shipped["code"]) == now, "run python -m persona_exp.training.fused.engine_compatibility FOLDER…"
    key = key_of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    assert module._read(shipped["outcomes"][key]) == check_compatibility(folder)


def test_what_is_shipped_needs_no_torch(folder, cache):
    program = (
        "import sys; from pathlib import Path; "
        "from persona_exp.training.fused.engine_compatibility import engine_compatibility; "
        f"assert engine_compatibility(Path({str(folder)!r})).fused; "
        "assert 'torch' not in sys.modules; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not cache.exists()


def test_what_was_checked_is_kept_for_these_libraries_and_this_code(folder, cache, monkeypatch):
    calls: list[Path] = []
    found = engine_compatibility(folder)

    def once(path: Path) -> Any:
        calls.append(path)
        return found

    monkeypatch.setattr(module, "check_compatibility", once)
    monkeypatch.setattr(module, "_shipped", lambda: {"libraries": {}, "code": "", "outcomes": {}})
    assert [engine_compatibility(folder) for _ in range(2)] == [found, found]
    assert len(calls) == 1
    monkeypatch.setattr(module, "libraries", lambda: {"torch": "3.0", "transformers": "6.0"})
    engine_compatibility(folder)
    assert len(calls) == 2
    monkeypatch.setattr(module, "code", lambda: "other")
    engine_compatibility(folder)
    assert len(calls) == 3
    # Cut short by a crash: checked again.
    for path in cache.iterdir():
        path.write_text("{", encoding="utf-8")
    assert engine_compatibility(folder) == found
    assert len(calls) == 4


def test_where_nothing_can_be_kept_it_is_checked_again(folder, cache, monkeypatch):
    monkeypatch.setattr(module, "_shipped", lambda: {"libraries": {}, "code": "", "outcomes": {}})
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file stands in the way", encoding="utf-8")
    assert engine_compatibility(folder).fused


def test_names_and_precision_do_not_tell_models_apart_and_scales_do():
    config = {"model_type": "granite", "logits_scaling": 2.0}
    assert key_of(config) == key_of({**config, "dtype": "bfloat16", "transformers_version": "9", "_name_or_path": "x"})
    assert key_of(config) != key_of({**config, "logits_scaling": 4.0})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 9}, None),
        ({"rope_parameters": {"rope_type": "llama3", "original_max_position_embeddings": 8}}, None),
        ({"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 8}, "max_position_embeddings": 32}, 8),
        ({"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 16, "max_position_embeddings": 32}, 16),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 32}, 32),
        (
            {
                "rope_parameters": {"full_attention": {"rope_type": "dynamic"}, "other": {"rope_type": "default"}},
                "max_position_embeddings": 7,
            },
            7,
        ),
    ],
)
def test_the_longest_conversation_that_no_company_changes(config, expected):
    assert longest(config) == expected
