"""What training does to the tiny model. When this changes on purpose, raise TRAINING_VERSION and write the new figures here."""

import json

import pytest

from persona_exp.files import digest
from persona_exp.training import TRAINING_VERSION
from tests.training.test_sft import encoded, folder, run

__all__ = ["encoded", "folder"]

GOLDEN = {
    2: {
        "labels": "5ddbe8b5a784c7577978dd6f075097076b4fbb22219c275786ae1c0ae54f43f7",
        "losses": [6.3556, 6.3745, 6.2017, 6.0076, 5.9031, 5.7162, 5.5621, 5.4167, 5.3959, 5.3408, 5.3432, 5.258],
    }
}


def test_output_changes_only_with_the_version(folder, encoded, tmp_path):
    _, log, _ = run(folder, encoded, tmp_path, 1)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    golden = GOLDEN[TRAINING_VERSION]
    assert digest([[example.input_ids, example.labels] for example in encoded]) == golden["labels"]
    # Processors round differently; the seeds, the order, the schedule and the loss do not.
    assert [line["loss"] for line in lines] == pytest.approx(golden["losses"], abs=2e-3)
