"""A sweep on the screen."""

import pytest
from rich.console import Console

from persona_exp.launch.sweeps.screen import counts, screen, table
from persona_exp.trial.state import State


def states(**numbers: int) -> list[State]:
    made = []
    for status, number in numbers.items():
        for one in range(number):
            extra = {"host": "node1", "phase": "training", "step": 3, "max_steps": 9, "loss": 1.25, "eta_seconds": 75.0, "gpus": 1}
            made.append(State(f"{status}-{one}", status, seconds=3600, **(extra if status == "running" else {})))
    return made


def drawn(found: list[State], waiting: dict[str, str], rows: int) -> list[str]:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table("sweep", {}, found, waiting, rows))
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
    with screen("sweep", {"failed-0": "lora.r=8"}) as shown:
        shown.show(states(sealed=2))
        for _ in range(5):
            shown.show(states(running=1, failed=1))
        shown.show(states(finished=1, failed=1))
        shown.show(states(finished=1, failed=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines if "sweep:" in line] == ["sweep: 2 sealed", "sweep: 1 failed, 1 finished"]
    assert sum("trial failed-0 (lora.r=8) failed" in line for line in lines) == 1
