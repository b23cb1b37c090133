import pytest

from persona_exp import training
from persona_exp.evaluation import evaluation_id
from persona_exp.trial.comparability import basis, differences, distinguishing, outdated, protocol


def provenance(digest="d" * 64, dtype="bfloat16", quantisation="nf4", data="0da7a0da7a00", version=3, **more):
    method = {"name": "qlora", "quantisation": quantisation, **({"double_quantisation": True} if quantisation == "nf4" else {})}
    model = {"digest": digest, "dtype": dtype, "attention": "sdpa", "chat_template": None, **more}
    return {"data_id": data, "identity": {"model": model, "method": method, "training_version": version}}


def test_the_adapter_alone_is_no_part_of_the_ground():
    assert basis(provenance()).ground == basis(provenance(version=None)).ground
    for other in ({"dtype": "float32"}, {"quantisation": "none"}, {"data": "feed"}, {"digest": "e" * 64}, {"chat_template": "f" * 64}):
        assert basis(provenance(**other)).ground != basis(provenance()).ground, other


def test_data_are_no_part_of_the_base_model():
    assert basis(provenance(data="feed")).base == basis(provenance()).base
    for other in ({"dtype": "float32"}, {"quantisation": "none"}, {"digest": "e" * 64}, {"chat_template": "f" * 64}):
        assert basis(provenance(**other)).base != basis(provenance()).base, other


def test_what_says_nothing_has_an_empty_basis():
    assert basis({}) == basis({"identity": {}})
    assert (basis({}).training_version, basis({}).words()) == (None, {})


def test_words_tell_apart_by_what_differs_alone():
    found = [basis(one).words(name) for one, name in ((provenance(), "small"), (provenance(quantisation="none"), "small"))]
    assert distinguishing(found) == ["nf4", "not quantised"]
    found.append(basis(provenance(digest="e" * 64, dtype="float32", data="feed")).words("large"))
    assert distinguishing(found) == [
        "small, nf4, bfloat16, data 0da7a0da7a00",
        "small, not quantised, bfloat16, data 0da7a0da7a00",
        "large, nf4, float32, data feed",
    ]
    same_name = [basis(provenance(digest=letter * 64)).words("small") for letter in "de"]
    assert distinguishing(same_name) == ["weights dddddddddddd", "weights eeeeeeeeeeee"]
    assert distinguishing(same_name[:1] * 2) == ["", ""]
    assert distinguishing([]) == []


def test_differences_name_what_one_lacks():
    assert differences([{"a": 1, "b": 2}, {"a": 1}]) == [{"b": 2}, {"b": None}]


def test_the_batch_is_no_part_of_a_protocol():
    settings = {"likelihood_items": 8, "batch_size": 2, "system_prompt": True}
    assert protocol("test", settings) == {"split": "test", "likelihood_items": 8}


@pytest.mark.parametrize(
    ("training_version", "evaluation_version", "said"),
    [
        (3, 2, ""),
        (4, 3, ""),
        (None, None, ""),
        (2, 2, "training version 2, now 3"),
        (None, 1, "evaluation version 1, now 2"),
        (2, 1, "training version 2, now 3; evaluation version 1, now 2"),
    ],
)
def test_older(monkeypatch, training_version, evaluation_version, said):
    monkeypatch.setattr(training, "TRAINING_VERSION", 3)
    monkeypatch.setattr(evaluation_id, "EVALUATION_VERSION", 2)
    assert outdated(training_version, evaluation_version) == said
