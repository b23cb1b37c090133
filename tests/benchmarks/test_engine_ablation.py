"""benchmarks/engine_ablation.py: its variants compute the same, and differ in what they say they differ in."""

import pytest

from benchmarks.fused_run import slots_of
from benchmarks.shapes import TARGETS, random_model
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL
from tests.benchmarks.test_fusion_benchmark import told


@pytest.mark.long
def test_all_variants_train_alike():
    small = ("--model", "tiny", "--words", "15", "--items", "2", "--tokens", "512", "--trials", "2", "--steps", "3")
    found = told("engine_ablation", *small)
    assert (found["name"], found["unit"], found["n"]) == ("engine_ablation", "seconds per real token", 3)
    variants = {"padded", "four_bit", "one_by_one", "padded_rank", "one_at_a_time", "none"}
    assert set(found["without"]) == variants
    assert set(found["seconds_per_token"]) == variants | {"all_on"}
    assert found["ratio"] == found["baseline"] / found["ours"] == found["without"]["none"]
    assert max(found["largest_loss_gap"].values()) < 0.02
    moved = found["mean_abs_b"]
    assert moved["all_on"] > 0
    assert all(one == pytest.approx(moved["all_on"], rel=0.05) for one in moved.values())
    assert 0 < found["real_part_of_padded"] < 1
    assert found["evaluation_ratio"] > 0


def test_a_padded_step_has_the_same_examples_filled_up():
    model = random_model("tiny", "none", "sdpa")
    examples = [([1, 2, 3], [IGNORED_LABEL, 2, 3]), ([4, 5], [IGNORED_LABEL, 5]), ([6, 7, 8, 9], [IGNORED_LABEL, IGNORED_LABEL, 8, 9])]
    trials, windows = {0: {"r": 4, "lr": 1e-3, "seed": 0}}, [[0, 2], [1]]
    plain, padded = (
        slots_of(model, trials, examples, windows, targets=TARGETS, dropout=0.0, padded=one)[0].documents() for one in (False, True)
    )
    assert [one.example for one in plain] == [one.example for one in padded]
    width = max(len(one.input_ids) for one in plain)
    for own, filled in zip(plain, padded, strict=True):
        assert filled.input_ids[: len(own.input_ids)] == own.input_ids
        assert filled.labels[: len(own.labels)] == own.labels
        assert len(filled.input_ids) == len(filled.labels) == width
        assert set(filled.labels[len(own.labels) :]) <= {IGNORED_LABEL}
