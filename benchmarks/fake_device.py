"""A GPU that is not there: tensors on `cuda:0` that have shapes, types and gradients but no numbers, under torch's FakeTensorMode.

Code that asks for a tensor's device takes the branches that it takes on a GPU, autograd runs for real, and a host tensor that meets a
device tensor raises. No kernel runs, so no number comes out: who reads one from the device is given 1, which is finite and in range.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses import fake_tensor

from persona_exp.modeling.multi_lora import varlen_attention

DEVICE = torch.device("cuda", 0)


@contextmanager
def fake_device() -> Iterator[None]:
    """Within this block tensors are fake, and may be on `DEVICE`.

    PyTorch's variable-length attention, which proves itself with numbers where it is first used, counts as proven.
    """
    answers, device, fake = fake_tensor._DISPATCH_META_HANDLERS, torch.ops.prim.device.default, fake_tensor.FakeTensor
    before = torch.Generator, varlen_attention._proven, fake.tolist, answers[device]
    torch.Generator, varlen_attention._proven, fake.tolist = _Generator, _taken_as_proven, _listed  # type: ignore[misc, method-assign, assignment]
    answers[device] = _device_for_cpp
    try:
        with _Fake():
            yield
    finally:
        torch.Generator, varlen_attention._proven, fake.tolist, answers[device] = before  # type: ignore[misc, method-assign]


def waits(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the host stands still, in this call, until the device has done all that it was given: it reads a number, or copies between
    the two other than from pinned memory and unwaited for."""
    if func is torch.ops.aten._local_scalar_dense.default:
        return bool(args[0].device.type == DEVICE.type)
    if func is torch.ops.aten._to_copy.default:
        source, to = args[0], torch.device(kwargs.get("device") or args[0].device)
    elif func is torch.ops.aten.copy_.default:
        source, to = args[1], args[0].device
        kwargs = {"non_blocking": len(args) > 2 and args[2], **kwargs}
    else:
        return False
    unwaited = kwargs.get("non_blocking") and (source.device == to or getattr(source, "pinned", False))
    # What autograd copies back has C++'s device.
    return (source.device.type == "cpu") != (to.type == "cpu") and not unwaited


def _listed(tensor: torch.Tensor) -> Any:
    """As `Tensor.tolist`: read at once."""
    number: Any = torch.ops.aten._local_scalar_dense.default(tensor)
    for length in reversed(tensor.shape):
        number = [number] * length
    return number


def _device_for_cpp(args: Any) -> torch.device:
    """The device of a fake tensor as PyTorch's C++ sees it. Autograd and indexing would ask the driver of a GPU for its stream, which a
    build without CUDA does not have; `meta` has none to ask for. Python still reads `cuda:0`."""
    device: torch.device = args[0].fake_device
    return device if device.type == "cpu" else torch.device("meta")


class _Fake(fake_tensor.FakeTensorMode):
    """What C++ makes beside such a tensor, and thinks on `meta` too, is on its device."""

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named, aten = dict(kwargs or {}), torch.ops.aten
        if func is aten._local_scalar_dense.default and args[0].device == DEVICE:
            return 1.0 if args[0].dtype.is_floating_point else 1
        if func is aten.is_pinned.default:
            return getattr(args[0], "pinned", False)
        if func is aten._pin_memory.default:
            pinned = args[0].clone()
            pinned.pinned = True
            return pinned
        if getattr(named.get("device"), "type", "") == "meta":
            named["device"] = DEVICE
        return super().dispatch(func, types, args, named)


class _Generator(torch.Generator):
    """Of any device; nothing is drawn with it."""

    def __new__(cls, device: "torch.device | str" = "cpu") -> "_Generator":
        made = super().__new__(cls, "cpu")
        made._of = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._of


def _taken_as_proven(*_: Any) -> bool:
    return True
