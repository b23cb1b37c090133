"""A `model.safetensors` in bfloat16, written without torch: a login node that only submits need not import it.

Format: https://huggingface.co/docs/safetensors, eight bytes of header length, a JSON header, the tensors' bytes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def bfloat16(values: "NDArray[np.float32]") -> "NDArray[np.uint16]":
    """Return the bits of `values` rounded to bfloat16, to nearest and ties to even, as torch rounds. Values must be finite."""
    import numpy as np

    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def write_weights(path: Path, shapes: Mapping[str, tuple[int, ...]], tensor: Callable[[str], "NDArray[np.float32]"]) -> None:
    """Write the tensors named in `shapes`, each fetched from `tensor(name)` in turn so that one at a time is in memory."""
    import numpy as np

    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes.items():
            values = tensor(name)
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}, not {shape}")
            file.write(bfloat16(values).astype("<u2").tobytes())
