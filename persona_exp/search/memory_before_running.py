"""What a trial will need of memory, before it runs: for constraints that need not be tried to be broken."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_exp.trial.neediest_trial_memory import neediest_trial_gb

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

MEASURE = "peak_memory_gb"


def memory_estimate(config: "Config", constraints: Sequence[str]) -> dict[str, float]:
    """Return {"peak_memory_gb": GiB of the trial by itself} where one of `constraints` asks for it and the model's sizes are known."""
    if not any(one.startswith(MEASURE) for one in constraints):
        return {}
    import torch

    needs = neediest_trial_gb([config], gpu=torch.cuda.is_available())
    return {} if needs is None else {MEASURE: needs}
