"""What a detached process says to the one that started it."""

import os

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.detached_process import BEGUN, refuse_detached, say_begun


def test_it_says_once_how_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    monkeypatch.setenv(BEGUN, str(writes))
    say_begun("persona-exp status ranks")
    say_begun("again")
    assert os.read(reads, 100) == b"persona-exp status ranks\n"
    assert os.read(reads, 100) == b""
    os.close(reads)


def test_a_terminal_that_has_gone_meanwhile_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    monkeypatch.setenv(BEGUN, str(writes))
    say_begun("persona-exp status ranks")
    assert BEGUN not in os.environ


def test_slurm_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_detached()
    monkeypatch.setenv(BEGUN, "3")
    with pytest.raises(UserError, match="leave out --detach"):
        refuse_detached()
