"""On a real model: company changes a trial by what rounding does, and by nothing else.

A trial alone in float64 counts as the truth, to 1e-13. Company may move it in float64 by no more than sums in another order do; in
coarser precisions the trial in company must be as near to the truth as it is alone. The kernels that a CPU takes do not decide either:
what is found lies far below the bounds, and a leak far above them.
"""

import pytest
import torch

from persona_exp.cli.config_from_overrides import compose_config
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora import document_attention, shared_model
from tests.training.fused.bundles import Bundle, recipe

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

STEPS = 2
RECIPES = [
    recipe(seed=1, r=8, dropout=0.05, max_steps=STEPS, warmup_steps=1),
    recipe(seed=2, r=16, lr=2e-4, max_steps=STEPS, effective_batch_size=6),
    recipe(seed=3, r=4, dropout=0.2, max_steps=STEPS),
]
# In float64, sums in another order move the weights by 3e-14 of their size; another trial's tokens or dropout move them by half of it.
ROUNDING = 1e-9


def trained(dtype, present):
    """The losses of trial 0 in this company, and its ΔW of every projection, one behind the other."""
    model = compose_config(["model=smollm2-135m"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    base = load_model(folder, "none", False, "bfloat16" if dtype == torch.bfloat16 else "float32", "sdpa").to(dtype)
    bundle = Bundle(base, RECIPES, present)
    losses = torch.tensor([step.loss for step in bundle.run(STEPS)[0]], dtype=torch.float64)
    pairs = bundle.slots[0].adapter.pairs.values()
    return losses, torch.cat([(pair.scale * pair.b @ pair.a).detach().flatten() for pair in pairs]).double()


@pytest.fixture(scope="module")
def alone():
    return trained(torch.float64, [0])


def far(one, other):
    """How far the losses and the weights lie apart, as parts of the other's."""
    return float((one[0] - other[0]).abs().max() / other[0].mean()), float((one[1] - other[1]).norm() / other[1].norm())


def test_company_changes_no_more_than_rounding_in_float64(alone):
    loss, weights = far(trained(torch.float64, [0, 1, 2]), alone)
    assert loss <= ROUNDING
    assert weights <= ROUNDING


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.thorough)])
def test_in_company_a_trial_is_as_near_to_the_truth_as_alone(alone, dtype):
    # Of weights alone: how near a single loss comes is a matter of chance, the norm over millions of weights is not.
    _, in_company = far(trained(dtype, [0, 1, 2]), alone)
    _, by_itself = far(trained(dtype, [0]), alone)
    assert by_itself > 1e-7, "the precision does not show, so this compares nothing"
    assert in_company <= 2 * by_itself


def all_as_one_document(lengths, device="cpu", *, right=document_attention.lay_out_documents):
    return right([sum(lengths)], device)


def with_the_seed_of_another(documents, *, seed, right=shared_model.keyed_mask, **others):
    return right(documents, seed=RECIPES[2].seed, **others)


@pytest.mark.parametrize(
    ("place", "name", "wrong"),
    [(document_attention, "lay_out_documents", all_as_one_document), (shared_model, "keyed_mask", with_the_seed_of_another)],
)
def test_a_leak_of_tokens_or_dropout_is_seen(alone, monkeypatch, place, name, wrong):
    monkeypatch.setattr(place, name, wrong)
    loss, weights = far(trained(torch.float64, [0, 2]), alone)

    assert loss > 1000 * ROUNDING
    assert weights > 0.1
