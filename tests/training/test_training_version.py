"""What training does to the tiny model. When this changes on purpose, raise TRAINING_VERSION and write the new figures here."""

import json

import pytest

from persona_exp.atomic_files import digest
from persona_exp.training import TRAINING_VERSION
from tests.training.test_sft_engine import encoded, folder, run

__all__ = ["encoded", "folder"]

GOLDEN = {
    3: {
        "labels": "5ddbe8b5a784c7577978dd6f075097076b4fbb22219c275786ae1c0ae54f43f7",
        "losses": [6.3605, 6.2657, 6.1077, 5.9864, 5.7226, 5.6139, 5.504, 5.3542, 5.2875, 5.2431, 5.2128, 5.1596],
    }
}


def test_output_changes_only_with_the_version(folder, encoded, tmp_path):
    _, log, _ = run(folder, encoded, tmp_path, 1, dtype="float32")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    golden = GOLDEN[TRAINING_VERSION]
    assert digest([[example.input_ids, example.labels] for example in encoded]) == golden["labels"]
    # Processors round differently (in bfloat16 to 0.01 within these steps, hence float32); the seeds, the order, the schedule and the loss
    # do not.
    assert [line["loss"] for line in lines] == pytest.approx(golden["losses"], abs=1e-3)
