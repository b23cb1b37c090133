"""What has come of an ask, by its trial's files."""

import json
import math

import pytest

from persona_exp.damaged_records import Damaged
from persona_exp.search.ask_files import Ask, AskedTrial
from persona_exp.search.ask_results import read_result, trial_losses
from persona_exp.trial.trial_directory import TrialDirectory

ASK = Ask(0, {}, {}, (AskedTrial("aaaaaaaaaaaa", "5ea15ea1.json", "eeeeeeeeeeee"),))


@pytest.mark.parametrize(
    ("cancelled", "state"),
    [
        (None, "open"),
        ({"by": "ada"}, "failed"),
        # It has come as far as somebody wanted: that is no failure, which might hold the search.
        ({"by": "ada", "step": 3, "trial_id": "bbbbbbbbbbbb"}, "pruned"),
    ],
)
def test_one_that_a_person_stopped_is_pruned_and_one_that_was_cancelled_has_failed(tmp_path, cancelled, state):
    trial = tmp_path / "trials" / "aaaaaaaaaaaa"
    (trial / "attempts").mkdir(parents=True)
    record = {"attempt": 1, "status": "interrupted", "cause": "stopped", "host": "elsewhere", "pid": 1, "heartbeat": 0}
    (trial / "attempts" / "0001.json").write_text(json.dumps(record))
    if cancelled:
        (trial / "cancel.json").write_text(json.dumps(cancelled))
    assert read_result(tmp_path, "a search", ASK, ["bits_per_byte"], losses=False).state == state


def test_of_the_losses_a_last_line_cut_short_is_left_out_and_no_other(tmp_path):
    for number, lines in (
        (1, '{"step": 2, "eval_loss": 5.0}\n{"step": 4, "eval_loss": 4.0}\n{"step": 6, "ev'),
        (2, '{"step": 4, "eval_loss": null}\n'),
    ):
        attempt = tmp_path / "attempts" / f"000{number}"
        attempt.mkdir(parents=True)
        attempt.with_suffix(".json").write_text("{}")
        (attempt / "validation.jsonl").write_text(lines)
    assert trial_losses(TrialDirectory(tmp_path)) == {2: 5.0, 4: math.inf}
    for damaged in ('{"step": 2, "ev\n{"step": 4, "eval_loss": 4.0}\n', '{"step": 2}\n', '{"step": "two", "eval_loss": 1}\n'):
        (tmp_path / "attempts" / "0001" / "validation.jsonl").write_text(damaged)
        with pytest.raises(Damaged, match=r"0001/validation\.jsonl"):
            trial_losses(TrialDirectory(tmp_path))


def test_beside_whole_metrics_a_torn_loss_is_said_and_changes_no_result(tmp_path):
    trial = tmp_path / "trials" / "aaaaaaaaaaaa"
    (trial / "attempts" / "0001").mkdir(parents=True)
    (trial / "attempts" / "0001.json").write_text('{"attempt": 1, "status": "finished"}')
    (trial / "attempts" / "0001" / "validation.jsonl").write_text('{"step": 2, "ev\n{"step": 4, "eval_loss": 4.0}\n')
    with pytest.raises(Damaged, match=r"0001/validation\.jsonl"):
        read_result(tmp_path, "a search", ASK, ["bits_per_byte"], losses=True)
    measured = trial / "evaluations" / "eeeeeeeeeeee"
    measured.mkdir(parents=True)
    (measured / "metrics.json").write_text('{"metrics": {"bits_per_byte": {"value": 0.5}}}')
    found = read_result(tmp_path, "a search", ASK, ["bits_per_byte"], losses=True)
    assert (found.state, found.values, found.losses) == ("complete", (0.5,), {})
    assert "0001/validation.jsonl line 1 is not JSON" in (found.why or "")
