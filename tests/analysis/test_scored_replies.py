import json

import pytest

from analysis.scored_replies import read_replies
from persona_exp.errors import UserError
from persona_exp.trial.runs_reader import read_trial


@pytest.fixture
def evaluated(runs):
    """The adapter's items.jsonl and a way to read its replies."""
    entry = runs.adapter({})
    folder = runs.path / "trials" / entry["trial_id"] / "evaluations" / entry["evaluations"]["adapter"]
    return folder / "items.jsonl", lambda: read_replies(read_trial(runs.path, entry["trial_id"]).evaluations[0])


def test_order_on_disk_does_not_matter(evaluated):
    path, read = evaluated
    first = read()
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert read() == first
    assert first.same_text(first)


def test_what_is_not_whole_is_refused(evaluated):
    path, read = evaluated
    lines = path.read_text().splitlines(keepends=True)
    short = {key: value for key, value in json.loads(lines[1]).items() if key != "bytes"}
    for broken, said in [
        ([], "no scored items"),
        (lines[:-1], "its items give"),
        ([*lines, lines[0]], "twice"),
        ([lines[0], json.dumps(short) + "\n", *lines[2:]], "lacks bytes"),
    ]:
        path.write_text("".join(broken))
        with pytest.raises(UserError, match=said) as caught:
            read()
        assert "\n" not in str(caught.value)
