"""On a real model: company changes a trial by no more than cutting its own rows otherwise does."""

import pytest
import torch

from persona_exp.cli.compose import compose_config
from persona_exp.modeling.base import load_model
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import fetch
from tests.training.fused.bundles import Bundle, recipe

pytestmark = pytest.mark.model

STEPS = 4
RECIPES = [
    recipe(seed=1, r=8, dropout=0.05, max_steps=STEPS, warmup_steps=1),
    recipe(seed=2, r=16, lr=2e-4, max_steps=STEPS, effective_batch_size=6),
    recipe(seed=3, r=4, dropout=0.2, max_steps=STEPS),
]


def deltas(bundle: Bundle) -> torch.Tensor:
    pairs = bundle.lanes[0].adapter.pairs.values()
    return torch.cat([(pair.scale * pair.b @ pair.a).detach().flatten() for pair in pairs])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_company_is_no_worse_than_other_rows(dtype, capsys):
    model = compose_config(["model=smollm2-135m"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    ends = []
    for present, row_tokens in (([0, 1, 2], 512), ([0], 512), ([0], 30), ([0], 60), ([0], 90)):
        bundle = Bundle(load_model(folder, "none", False, dtype, "sdpa"), RECIPES, present, row_tokens=row_tokens)
        losses = torch.tensor([step.loss for step in bundle.run(STEPS)[0]])
        ends.append((losses, deltas(bundle)))
    company, (loss, delta), *other_rows = ends
    floors = [(float((one - loss).abs().max() / loss.mean()), float((other - delta).norm() / delta.norm())) for one, other in other_rows]
    floor = tuple(map(max, zip(*floors, strict=True)))
    found = float((company[0] - loss).abs().max() / loss.mean()), float((company[1] - delta).norm() / delta.norm())
    with capsys.disabled():
        print(f"\n{dtype}: loss {found[0]:.2e} (floor {floor[0]:.2e}), ΔW {found[1]:.2e} (floor {floor[1]:.2e})")
    assert floor[1] > 0
    assert found[0] <= 2 * floor[0]
    assert found[1] <= 2 * floor[1]
