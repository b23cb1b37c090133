"""A sweep on the screen."""

import pytest
from rich.console import Console

from persona_exp.launch.sweeps.live_status_table import counts, live_status, progress_text, table
from persona_exp.trial.trial_status import TrialStatus


def states(**numbers: int) -> list[TrialStatus]:
    made = []
    for status, number in numbers.items():
        for one in range(number):
            extra = {"host": "node1", "phase": "training", "step": 3, "max_steps": 9, "loss": 1.25, "eta_seconds": 75.0, "gpus": 1}
            made.append(TrialStatus(f"{status}-{one}", status, seconds=3600, **(extra if status == "running" else {})))
    return made


def drawn(found: list[TrialStatus], waiting: dict[str, str], rows: int, *, title: str = "", width: int = 100) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table("sweep", {state.trial_id: title for state in found}, found, waiting, rows, "Ctrl-C stops it."))
    return console.export_text().splitlines()


def test_a_thousand_trials_fit_a_terminal() -> None:
    found = states(finished=900, sealed=90, failed=4, running=6)
    lines = drawn(found, {"sealed-0": "Priority"}, 12)
    assert len(lines) < 20
    assert lines[0].strip() == "sweep: 6 running, 4 failed, 1 queued, 89 sealed, 900 finished"
    assert ["running-" in line for line in lines[2:8]] == [True] * 6
    assert sum("failed-" in line for line in lines) == 4
    assert any("queued (Priority)" in line for line in lines)
    told = " ".join(" ".join(lines).split())
    assert "and 988 more: 88 sealed, 900 finished" in told or "and 989 more" in told
    assert "3/9" in lines[2]
    assert "1.250" in lines[2]
    assert "1:15" in lines[2]
    assert "node1" in lines[2]


def test_queued_is_what_waits_in_the_queue() -> None:
    assert counts(states(sealed=2, running=1), {"sealed-0": "Resources", "running-0": ""}) == "1 running, 1 queued, 1 sealed"


def test_a_log_is_told_of_changes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with live_status("sweep", {"failed-0": "lora.r=8"}) as shown:
        shown.show(states(sealed=2))
        for _ in range(5):
            shown.show(states(running=1, failed=1))
        shown.show(states(finished=1, failed=1))
        shown.show(states(finished=1, failed=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines if "sweep:" in line] == ["sweep: 2 sealed", "sweep: 1 failed, 1 finished"]
    assert sum("trial failed-0 (lora.r=8) failed" in line for line in lines) == 1


def test_what_a_record_says_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb[red]\x07"
    failed = TrialStatus("0123456789ab", "failed", host=evil, cause=evil, message=evil)
    running = TrialStatus("0123456789ac", "running", host=evil, phase=evil)
    lines = drawn([failed, running], {}, 12, title=evil, width=200)
    assert not any("\x1b[2J" in line or "\x07" in line for line in lines)
    assert any("\\u001b[2Jb[red]" in line for line in lines)
    with live_status("sweep", {"0123456789ab": evil}) as shown:
        shown.show([failed])
    out = capsys.readouterr().out
    assert "\\u001b[2J" in out
    assert "\x1b" not in out


def test_a_narrow_terminal_cuts_the_overrides_and_shows_how_far_trials_are() -> None:
    found = [
        TrialStatus(
            "0123456789ab", "running", host="node17", phase="training", step=1203, max_steps=4500, loss=1.25, eta_seconds=4775.0, gpus=0
        )
    ]
    lines = drawn(found, {}, 12, title="lora.r=16 optim.lr=0.0002 method=qlora data.mix.dialogue=0.5 seed=1", width=80)
    assert lines[2].split()[0] == "0123456789ab"
    assert lines[2].split()[-5:] == ["training", "1203/4500", "1.250", "1:19:35", "node17"]
    assert "lora.r=16" in lines[2]
    # Without a GPU there are no GPU-hours to speak of.
    assert lines[3].strip() == "Ctrl-C stops it."
    assert "GPU" not in "".join(lines)


def test_a_log_is_told_now_and_then_how_far_the_running_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("persona_exp.launch.sweeps.live_status_table.time.monotonic", lambda: now)
    with live_status("sweep", {}) as shown:
        for step in range(4000):
            now = float(step)
            training = TrialStatus("a", "running", phase="training", step=step, max_steps=4000, eta_seconds=4000.0 - step)
            shown.show([training, TrialStatus("b", "running", phase="evaluating", step=9, max_steps=9), *states(sealed=1)])
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "sweep: 2 running, 1 sealed; step 15/4000 (1:06:25 left), evaluating"
    # Every 15 seconds at first, and 100 times as long takes no 100 times as many lines.
    assert lines[3].split()[6] == "45/4000"
    assert 50 < len(lines) < 80


def test_a_log_has_where_the_running_are_and_of_many_the_first() -> None:
    assert progress_text(states(running=9, sealed=2)) == "step 3/9 (1:15 left) ×9"
    apart = [TrialStatus(f"{step}", "running", phase="training", step=step, max_steps=9) for step in (1, 1, 2, 3, 4, 5, 5)]
    assert progress_text(apart) == "step 1/9 ×2, step 2/9, step 3/9, step 4/9, 2 more"
    assert progress_text([TrialStatus("a", "running"), *states(sealed=2, finished=1)]) == ""
