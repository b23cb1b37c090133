"""What a GPU can do at most."""

import pytest

from persona_exp.trial.gpu_peak_flops import PEAKS, peak_flops


def test_peaks_are_dense_ones():
    assert peak_flops("NVIDIA H200") == peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    # No GPU of today does five times as much in dense bf16; a figure with sparsity, or in TFLOP/s, would stand out.
    assert all(50e12 < peak < 5000e12 for peak in PEAKS.values())


@pytest.mark.parametrize("name", [None, "", "Intel(R) Xeon(R)", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "NVIDIA H100", "Tesla T4"])
def test_of_another_device_nothing_is_known(name):
    assert peak_flops(name) is None
