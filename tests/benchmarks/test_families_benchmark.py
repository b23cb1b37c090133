"""benchmarks/families.py: families of each outcome, against plain transformers."""

import pytest

from tests.benchmarks.test_fusion_benchmark import told


@pytest.mark.long
def test_each_family_is_equal_refused_or_unsupported_and_none_is_wrong():
    families = ("cohere", "gemma2", "qwen3_5_text", "phimoe", "gpt_oss", "falcon", "bert")
    found = told("families", "--families", *families)
    kinds = {one["family"]: one["kind"] for one in found["outcomes"]}
    equal = dict.fromkeys(families[:4], "equal")
    assert kinds == {**equal, "gpt_oss": "refused", "falcon": "refused", "bert": "unsupported"}
    assert (found["equal"], found["refused"], found["unsupported"], found["wrong"], found["of"]) == (4, 2, 1, 0, 7)
    assert all(one["sft"] <= 1e-5 for one in found["outcomes"] if one["kind"] != "unsupported")
    assert all(one["fused"] <= 1e-5 for one in found["outcomes"] if one["kind"] == "equal")
    assert all(one["reason"] and "\n" not in one["reason"] for one in found["outcomes"] if one["kind"] != "equal")
