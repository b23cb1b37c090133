"""The shortest time in which a GPU could do what a step asks of it: an estimate from its published limits, and no measurement.

Each kernel takes as long as its arithmetic or its traffic at the published peak, whichever is longer (Williams et al. 2009,
doi:10.1145/1498765.1498785). Starting kernels, waits, and all that keeps real ones from the peak are left out, so that a measured step
is slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.step_count import Kernel


@dataclass(frozen=True)
class Accelerator:
    """Floating-point operations a second in matrix products of half precision without sparsity and of float32, and bytes a second to
    and from its memory."""

    half: float
    single: float
    bandwidth: float


ACCELERATORS = {
    # NVIDIA H200 data sheet, SXM: 1,979 TFLOP/s of bfloat16 with sparsity, which is half that without; 67 of float32; 4.8 TB/s.
    "H200": Accelerator(989.5e12, 67e12, 4.8e12),
    # NVIDIA A100 data sheet, 80 GB SXM: 312 TFLOP/s of bfloat16; 19.5 of float32; 2,039 GB/s.
    "A100": Accelerator(312e12, 19.5e12, 2.039e12),
}


def seconds(kernels: Sequence[Kernel], on: Accelerator) -> float:
    """All of them, one after the other."""
    return sum(max(one.flops / _peak(one, on), one.moved / on.bandwidth) for one in kernels)


def _peak(kernel: Kernel, on: Accelerator) -> float:
    return on.half if kernel.dtype in (torch.bfloat16, torch.float16) else on.single
