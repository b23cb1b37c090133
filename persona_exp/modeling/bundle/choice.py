"""Which way to compute the low-rank products: by the device and the lanes alone, so that a bundle that goes on computes as before."""

from collections.abc import Sequence

import torch

from persona_exp.modeling.bundle.product import Part, add_slices
from persona_exp.modeling.bundle.wide import Wide

# Side by side, each token is multiplied with the ranks of all lanes: at 512 that is a third of what a projection of 4096 × 4096 takes.
MOST_RANKS = 512


class Suited:
    """A `Product`: side by side where that pays, else by slices."""

    def __init__(self) -> None:
        self._wide = Wide()

    def __call__(self, x: torch.Tensor, y: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        return (self._wide if pays(x.device.type, [len(part.pair.a) for part in parts]) else add_slices)(x, y, parts)

    def forget(self) -> None:
        """Keep no lane's weights any longer."""
        self._wide.forget()


def pays(device: str, ranks: Sequence[int]) -> bool:
    """Whether lanes of such ranks are better computed at once. On a GPU they are while starting kernels takes longer than running them
    (counted, not yet measured there)."""
    return device != "cpu" and len(ranks) > 1 and sum(ranks) <= MOST_RANKS
