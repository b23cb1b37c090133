"""What the fused engine does to the tiny model. When this changes on purpose, raise TRAINING_VERSION and write the new figures here."""

import pytest
import torch

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.training import TRAINING_VERSION
from tests.training.fused.bundles import Bundle, base, recipe

GOLDEN = {
    3: {
        "losses": [6.7881, 6.4392, 6.6179, 5.8679, 5.7608, 5.5083, 5.1426, 4.6327],
        "norms": [1.763, 1.9012, 1.8982, 2.0888, 1.5699, 1.6808, 1.9739, 1.7564],
    }
}


def test_output_changes_only_with_the_version():
    bundle = Bundle(
        base(fetch("tiny", "tiny", None, None, cache_folder()), torch.float32), [recipe(dropout=0.1, max_steps=8, lr=1e-2)], [0]
    )
    steps = bundle.run(8)[0]
    golden = GOLDEN[TRAINING_VERSION]
    # Processors round differently; the initialisation, the order, the dropout, the schedule and the loss do not.
    assert [step.loss for step in steps] == pytest.approx(golden["losses"], abs=2e-4)
    assert [step.grad_norm for step in steps] == pytest.approx(golden["norms"], rel=1e-3)
