from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.torch import load_file

from persona_exp.modeling.safetensors_writer import bfloat16, write_weights

FINITE = st.floats(-(2.0**127), 2.0**127, width=32, allow_nan=False)


@given(npst.arrays(np.float32, st.integers(1, 50), elements=FINITE))
def test_rounding_is_torchs(values: np.ndarray) -> None:
    expected = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(bfloat16(values), expected)


def test_halfway_goes_to_even() -> None:
    halves = np.array([0x3F808000, 0x3F818000], dtype=np.uint32).view(np.float32)
    assert bfloat16(halves).tolist() == [0x3F80, 0x3F82]


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "long.name": np.ones(5, dtype=np.float32)}
    write_weights(tmp_path / "model.safetensors", {name: value.shape for name, value in tensors.items()}, tensors.__getitem__)
    read = load_file(tmp_path / "model.safetensors")
    assert {name: (value.dtype, value.float().tolist()) for name, value in read.items()} == {
        name: (torch.bfloat16, value.tolist()) for name, value in tensors.items()
    }
