"""Which build of torch computes on which driver's GPUs."""

import pytest

from persona_exp.modeling import cuda_driver
from persona_exp.modeling.cuda_driver import driver_fault


@pytest.mark.parametrize(("driver", "built"), [("13.0", "13.0"), ("12.0", "12.6"), ("13.1", "12.6")])
def test_a_driver_runs_what_its_major_version_or_an_older_one_built(driver, built):
    assert driver_fault(driver, built) is None


@pytest.mark.parametrize(
    ("driver", "built", "cause", "fix"),
    [
        ("12.4", "13.0", "the driver is for CUDA 12.4 and torch", "make setup TORCH=cu126"),
        ("11.4", "13.0", "CUDA 11.4", "a driver of 525 or newer"),
        ("12.4", None, "built for processors alone", "make setup TORCH=cu126"),
        ("13.0", None, "built for processors alone", "make setup TORCH=cu130"),
        (None, None, "built for processors alone", "make setup TORCH=cu126"),
        (None, "13.0", "there is no NVIDIA driver", "ask the site"),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(driver, built, cause, fix):
    found = driver_fault(driver, built)
    assert cause in found[0]
    assert fix in found[1]


def test_torch_s_build_is_read_off_its_files():
    import torch

    assert cuda_driver.torch_cuda() == torch.version.cuda
