"""Which way to compute the low-rank products: by the device and the slots alone, so that a resumed bundle computes as before."""

from collections.abc import Sequence

import torch

from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.lora_product import Segment, add_slices

# Side by side, each token is multiplied with the ranks of all slots: at 512 that is a third of what a projection of 4096 × 4096 takes.
MOST_RANKS = 512


class SelectedProduct:
    """A `Product`: the ranks side by side where that is faster, else by slices."""

    def __init__(self) -> None:
        self._concatenated = ConcatenatedProduct()

    def __call__(self, x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
        return (
            self._concatenated if is_concatenation_faster(x.device.type, [len(segment.pair.a) for segment in segments]) else add_slices
        )(x, y, segments)

    def forget(self) -> None:
        """Drop all weights that are kept."""
        self._concatenated.forget()


def is_concatenation_faster(device: str, ranks: Sequence[int]) -> bool:
    """Return whether slots of such ranks are better computed at once. On a GPU they are while starting kernels takes longer than running
    them (counted, not yet measured there)."""
    return device != "cpu" and len(ranks) > 1 and sum(ranks) <= MOST_RANKS
