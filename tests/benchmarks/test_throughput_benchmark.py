"""benchmarks/throughput.py: both sides train one trial on the same rows."""

import pytest

from tests.benchmarks.test_fusion_benchmark import benchmark, told


@pytest.mark.long
def test_both_sides_train_alike():
    found = told("throughput", "--model", "tiny", "--steps", "3", "--lengths", "64", "128", "--row-tokens", "256")
    assert (found["name"], found["unit"], found["n"]) == ("throughput", "tokens per second", 1)
    assert found["ratio"] == found["ours"] / found["baseline"]
    for side, own in (("ours", found["ours"]), ("packed", found["baseline"])):
        assert own == max(found["tokens_per_second"][side].values())
        rows, tokens = found["setting"]["largest_batch"][side]
        assert rows == 1
        assert tokens <= found["setting"]["best_row_tokens"][side]
        assert found["peak_memory_bytes"][side] > 0
    moved = found["mean_abs_b"]
    assert moved["ours"] == pytest.approx(moved["packed"], rel=0.05)
    assert moved["ours"] > 0
    assert (found["utilisation"], found["setting"]["device"]) == (None, "cpu")
    # Two layers of q, k, v, o and gate, up, down, and the head: 4 operations a weight.
    head = found["model_flops_per_token"] // 4 - 2 * (64 * 128 + 2 * 64 * 64 + 128 * 64 + 3 * 64 * 128)
    assert head % 64 == 0
    assert head > 0


def test_rows_too_short_for_an_example_are_refused():
    done = benchmark("throughput", "--lengths", "64", "512", "--row-tokens", "256")
    assert done.returncode == 2
    assert "--row-tokens must be" in done.stderr
