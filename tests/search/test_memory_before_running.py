"""A constraint on memory is asked of the estimate that a sweep's forecast has."""

from persona_exp.search.memory_before_running import memory_estimate
from persona_exp.trial.neediest_trial_memory import neediest_trial_gb


def test_it_is_the_forecasts_own_estimate_and_only_where_a_constraint_asks(config):
    tiny = config("model=tiny")
    needs = neediest_trial_gb([tiny], gpu=False)
    assert needs
    assert memory_estimate(tiny, ["peak_memory_gb<=70"]) == {"peak_memory_gb": needs}
    assert memory_estimate(tiny, ["perplexity<=3"]) == {}


def test_a_larger_rank_needs_more(config):
    small, large = (memory_estimate(config("model=tiny", f"lora.r={r}"), ["peak_memory_gb<=70"])["peak_memory_gb"] for r in (8, 64))
    assert small < large
