"""Sealed trials to run: of engine=noop, which reads nothing, and of the tiny model on three short chapters."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.dataset import dataset_card
from persona_exp.trial import seal_verification, token_cache
from persona_exp.trial.seal import Sealed, seal
from tests.things import THINGS


@pytest.fixture(autouse=True)
def _nothing_verified_before():
    """A child verifies once a process; here every test is one."""
    for known in (seal_verification._digest_of_code, seal_verification._digest_of_data, seal_verification._digest_of_model):
        known.cache_clear()


@pytest.fixture(autouse=True)
def _tokens_are_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing makes them in a process of its own, which would import torch anew for each test; test_token_cache.py has one that does."""
    monkeypatch.setattr(token_cache, "make_in_child", lambda wanted: [token_cache.make(one) for one in wanted])


@pytest.fixture(autouse=True)
def _no_figure_of_the_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here reads it, and drawing one takes longer than making the novel's dataset."""
    monkeypatch.setattr(dataset_card, "plot_mix", lambda mix, path: path.touch())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def sealed_noop(config: Callable[..., Config], runs: Path, one_copy_of_the_code: None) -> Callable[..., Sealed]:
    """`sealed_noop(1)`: the trial of engine=noop with that seed."""

    def sealed(seed: int = 0, *overrides: str) -> Sealed:
        return seal(replace(config("engine=noop", *overrides), seed=seed, runs=str(runs)), command="python run.py")

    return sealed


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    """A book of three chapters in which Ada says what each thing is for."""
    lines = []
    for number, (thing, told) in enumerate(THINGS.items()):
        lines += [f"CHAPTER {'I' * (number // 3 + 1)}"] if number % 3 == 0 else []
        lines += [f"“What of the {thing}?” asked Mr. Pell.", f"“The {thing} {told},” said Ada, and laid the {thing} by."]
    path = tmp_path / "lamp.txt"
    path.write_text("\n\n".join(lines))
    return path


@pytest.fixture
def tiny(config: Callable[..., Config], runs: Path, novel: Path, one_copy_of_the_code: None) -> Callable[..., Config]:
    """`tiny("lora.r=4")`: two steps of the tiny model on the novel, measured on next to nothing."""
    given = ("corpus=novels", "corpus.dir=.", "corpus.books=[lamp.txt]", "data.split=chapter", "persona.name=Ada")
    given += ("data.validation_fraction=0", "data.test_fraction=0.3", "model=tiny", "train.max_steps=2", "optim.effective_batch_size=2")
    given += ("evaluation.likelihood_items=2", "evaluation.generated_items=1", "evaluation.max_new_tokens=2")

    def made(*overrides: str) -> Config:
        # The folders come afterwards: what is the same in all tests is composed once.
        composed = config(*given, *overrides)
        own = any(one.startswith("runs=") for one in overrides)
        return replace(composed, corpus=replace(composed.corpus, dir=str(novel.parent)), runs=composed.runs if own else str(runs))

    return made


@pytest.fixture
def child(code_copy: Path) -> Iterator[Callable[..., Any]]:
    """`child(seal, "--log")`: the training child, started with the sealed code; `.communicate()` waits for it."""
    started = []

    def start(*arguments: Any, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "persona_exp.trial", *map(str, arguments)],
            cwd=code_copy,
            env={**os.environ, "PYTHONPATH": str(code_copy), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
