"""Progress in a log: few lines, an estimate, a last word."""

import pytest

from persona_exp import progress_bar


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (7384, "2:03:04")])
def test_clock(seconds, shown):
    assert progress_bar.clock(seconds) == shown


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with progress_bar.progress("training", 100, done=10) as meter:
        meter.advance(0)
        for _ in range(90):
            now[0] += 1
            meter.advance(note="loss 1.0")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[0] == "training: 25/100, about 1:15 left  loss 1.0"
    assert lines[-1] == "training: 100/100 in 1:30  loss 1.0"


def test_no_end_is_foretold_from_the_first_steps(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with progress_bar.progress("training", 100, done=10) as meter:
        for _ in range(3):
            now[0] += 20
            meter.advance()
    assert capsys.readouterr().err.splitlines() == ["training: 11/100", "training: 12/100", "training: 13/100, about 29:00 left"]


def test_a_bar_shows_no_end_before_its_third_step(monkeypatch):
    from rich.console import Console

    shown = Console(force_terminal=True, width=100, record=True, stderr=True)
    monkeypatch.setattr(progress_bar, "Console", lambda **_: shown)
    with progress_bar.progress("training", 100, done=10) as meter:
        meter.advance(2)
    assert "ETA -:--:--" in shown.export_text()


def test_track_yields_all():
    assert list(progress_bar.track(iter("abc"), "x", 3)) == ["a", "b", "c"]
