"""What has come of an ask, by its trial's files."""

import json

import pytest

from persona_exp.search.ask_files import Ask, AskedTrial
from persona_exp.search.ask_results import read_result

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
