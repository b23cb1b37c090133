"""What one training step asks of a GPU, counted operation by operation on a fake device: kernels, waits, arithmetic, traffic and memory.

An operation that computes is one kernel, as PyTorch starts at least; one over a list of tensors is one for each LIST of them that lie alike
in memory, else one for each. Its traffic is what it reads and writes if nothing stays in a cache; views and allocations have none.
"""

import traceback
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.fake_device import DEVICE, waits

ROOT = str(Path(__file__).parents[1])
# Tensors that one kernel over a list of pairs takes (ATen/native/cuda/MultiTensorApply.cuh).
LIST = 64
ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_")
# What these have in place of their first argument's numbers does not hang on them.
OVERWRITING = ("copy_", "zero_", "fill_", "bernoulli_", "_foreach_copy_", "_foreach_zero_")
# Of their first argument these read no more than they return.
GATHERING = ("embedding", "index", "index_select", "gather", "nll_loss_forward")
# Of theirs they write to no more than the values that they are given.
SCATTERING = ("index_put_", "index_add_")
PRODUCTS = ("mm", "attn", "attention", "conv")


@dataclass(frozen=True)
class Kernel:
    """One operation: floating-point operations in matrix products of `dtype` (0 where there are none), and bytes read and written."""

    name: str
    starts: int
    flops: int
    dtype: torch.dtype
    moved: int


class StepCount(TorchDispatchMode):
    """Within this block, `kernels` and `waits` (the line of this project that waits) as they come, and the bytes of live tensors at most:
    `peak_bytes`, and what they were then by `held` kinds; what is held as none is an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []
        self.waits: list[str] = []
        self.copies = 0
        self._live: Counter[str] = Counter()
        self._storages: dict[int, Any] = {}
        self.peak: dict[str, int] = {}

    def hold(self, kind: str, tensors: Iterable[torch.Tensor]) -> None:
        """Count these, which are there already."""
        for one in tensors:
            self._keep(one, kind)

    @property
    def peak_bytes(self) -> int:
        return sum(self.peak.values())

    @property
    def starts(self) -> int:
        """Kernels that are started."""
        return sum(one.starts for one in self.kernels)

    def by_name(self) -> dict[str, int]:
        """Kernels started for each operation, the most first."""
        found: Counter[str] = Counter()
        for one in self.kernels:
            found[one.name] += one.starts
        return dict(found.most_common())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is torch.ops.prim.device.default:
            return func(*args, **named)
        if waits(func, args, named):
            self.waits.append(_place())
        out = func(*args, **named)
        tensors = [one for one in tree_leaves((args, named)) if _on_device(one)]
        made = [one for one in tree_leaves(out) if _on_device(one)]
        if not tensors and not made:
            return out
        if any(one.device != DEVICE for one in tree_leaves((args, named, out)) if isinstance(one, torch.Tensor) and one.dim()):
            self.copies += 1
        elif _computes(func, tensors, made):
            self.kernels.append(_kernel(func, args, named, out, tensors, made))
        for one in made:
            self._keep(one, "activations")
        return out

    def _keep(self, tensor: torch.Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self._storages:
            return
        key, size = id(storage), storage.nbytes()

        def gone(_: Any) -> None:
            del self._storages[key]
            self._live[kind] -= size

        self._storages[key] = weakref.ref(storage, gone)
        self._live[kind] += size
        if self._live.total() > self.peak_bytes:
            self.peak = dict(self._live)


def _on_device(one: Any) -> bool:
    return isinstance(one, torch.Tensor) and one.device == DEVICE


def _computes(func: Any, tensors: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> bool:
    """Whether it writes to memory, rather than view it in another way or get hold of some."""
    if func.overloadpacket.__name__ in ALLOCATIONS:
        return False
    if func._schema.is_mutable:
        return True
    own = {id(one.untyped_storage()) for one in tensors}
    return any(id(one.untyped_storage()) not in own for one in made)


def _kernel(
    func: Any,
    args: Sequence[Any],
    named: Mapping[str, Any],
    out: Any,
    tensors: Sequence[torch.Tensor],
    made: Sequence[torch.Tensor],
) -> Kernel:
    name = func.overloadpacket.__name__
    written = _written(func, args, named) or made
    read = [one for one in tensors if not (name in OVERWRITING and any(one is other for other in written))]
    if name in GATHERING:
        moved = sum(map(_bytes, tensors[1:])) + 2 * sum(map(_bytes, made))
    elif name in SCATTERING:
        moved = 3 * sum(map(_bytes, tensors[1:]))
    else:
        moved = sum(_bytes(one) for one in (*read, *written))
    return Kernel(name, _starts(name, args), _flops(func, args, named, out), tensors[0].dtype if tensors else torch.float32, moved)


def _written(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> list[torch.Tensor]:
    """What it writes to of what it was given."""
    given = {**dict(zip((one.name for one in func._schema.arguments), args, strict=False)), **named}
    marked = [one.name for one in func._schema.arguments if one.alias_info and one.alias_info.is_write]
    return [one for name in marked for one in tree_leaves(given.get(name)) if _on_device(one)]


def _bytes(tensor: torch.Tensor) -> int:
    # What is expanded is there once.
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


def _starts(name: str, args: Sequence[Any]) -> int:
    if not name.startswith(("_foreach", "_fused")):
        return 1
    lists = [one for one in args if isinstance(one, list | tuple) and one and isinstance(one[0], torch.Tensor)]
    alike = all(tensor.is_contiguous() and tensor.dtype == one[0].dtype for one in lists for tensor in one)
    return -(-len(lists[0]) // LIST) if alike else len(lists[0])


def _flops(func: Any, args: Sequence[Any], named: Mapping[str, Any], out: Any) -> int:
    """Of matrix products. ValueError for one whose formula is not known here."""
    packet, name = func.overloadpacket, func.overloadpacket.__name__
    if name.startswith("_varlen_attn"):
        query, longest = (args[1], args[8]) if "backward" in name else (args[0], args[5])
        # Two products forward and five backward; of each document's square the causal half (arXiv:2205.14135, section 3).
        return (5 if "backward" in name else 2) * query.shape[0] * longest * query.shape[1] * query.shape[2]
    known = flop_registry.get(torch.ops.aten.addmm if name == "addmm_" else packet)
    if known:
        return int(known(*args, **named, out_val=out))
    if any(part in name for part in PRODUCTS):
        raise ValueError(f"How many operations {name} takes is not known here.")
    return 0


def _place() -> str:
    """The innermost line of this project that is being run."""
    own = [one for one in traceback.extract_stack() if one.filename.startswith(f"{ROOT}/persona_exp")]
    return f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "?"
