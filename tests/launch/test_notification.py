"""What tells a person that a sweep on this machine is over."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from persona_exp.errors import UserError
from persona_exp.launch import notification
from persona_exp.launch.notification import as_given, notified


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that `echo … >> $TOLD` writes; every launch counts as long enough."""
    monkeypatch.setattr(notification, "LEAST_SECONDS", 0.0)
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.mark.parametrize(("code", "outcome"), [(0, "finished"), (75, "interrupted"), (1, "failed")])
def test_a_command_is_told_the_outcome_once(told: Path, code: int, outcome: str) -> None:
    assert notified('echo "$PERSONA_EXP_OUTCOME $PERSONA_EXP_EXIT_CODE" >> "$TOLD"', lambda: code) == code
    assert told.read_text() == f"{outcome} {code}\n"


def test_an_error_is_told_and_goes_on(told: Path) -> None:
    def refused() -> int:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        notified('echo "$PERSONA_EXP_OUTCOME" >> "$TOLD"', refused)
    assert told.read_text() == "failed\n"


def test_what_took_less_than_a_minute_is_not_told(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "LEAST_SECONDS", 60.0)
    assert notified('echo told >> "$TOLD"', lambda: 0) == 0
    assert not told.exists()


def test_a_command_that_fails_is_said_and_fails_nothing(told: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert notified("exit 3", lambda: 0) == 0
    assert "notify=exit 3 ended with 3." in capfd.readouterr().err


def test_a_command_that_does_not_end_is_left(told: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(notification, "MOST_SECONDS", 0.2)
    assert notified("sleep 20", lambda: 0) == 0
    assert "notify=sleep 20 came to nothing" in capfd.readouterr().err


def test_the_bell_is_rung(told: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notified("bell", lambda: 0)
    assert capfd.readouterr().err == "\a"


@pytest.mark.parametrize("stop", [SystemExit(75), KeyboardInterrupt()])
def test_a_stop_is_no_failure(told: Path, stop: BaseException) -> None:
    def stopped() -> int:
        raise stop

    with pytest.raises(type(stop)):
        notified('echo "$PERSONA_EXP_OUTCOME" >> "$TOLD"', stopped)
    assert told.read_text() == "interrupted\n"


def test_variables_are_the_shells() -> None:
    assert as_given(OmegaConf.create({"notify": "echo ${PERSONA_EXP_OUTCOME}", "seed": "${nothing}"})) == "echo ${PERSONA_EXP_OUTCOME}"
    assert as_given(OmegaConf.create({"notify": None})) is None
