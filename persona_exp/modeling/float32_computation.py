"""A model that computes in float32 for a while, and is the same again afterwards, to the bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from persona_exp import cgroup_memory
from persona_exp.errors import UserError
from persona_exp.modeling.nf4_dequantisation import plain_weight, quantised

if TYPE_CHECKING:
    import torch

# Rows of an output head that are float32 at once: 335 MB where the hidden size is 5,120.
HEAD_ROWS = 16384


@contextmanager
def in_float32(model: "torch.nn.Module") -> Iterator[None]:
    """Within this block all of `model`, which is on a CPU, computes in float32.

    Half-precision weights are converted in place, one tensor after the other and a tied one once; 4-bit projections give way to plain ones
    with the numbers that their compute dtype has. Afterwards the weights have their own dtype again, which loses nothing: float32 holds
    every half-precision number. No one may write to them in the meantime. Raise UserError if there is no memory for it.
    """
    import torch

    halves = [(one, one.dtype) for one in _tensors(model) if one.dtype in (torch.bfloat16, torch.float16)]
    packed = quantised(model)
    _require(sum(one.numel() * one.itemsize for one, _ in halves) + sum(4 * one.in_features * one.out_features for one in packed.values()))
    done: list[tuple[torch.Tensor, torch.dtype]] = []
    try:
        for tensor, dtype in halves:
            tensor.data = tensor.data.float()
            done.append((tensor, dtype))
        for name, module in packed.items():
            _put(model, name, _plain(module))
        with _exact_products(), _by_onednn(model):
            yield
    finally:
        for name, module in packed.items():
            _put(model, name, module)
        for tensor, dtype in done:
            tensor.data = tensor.data.to(dtype)


@contextmanager
def head_in_float32(model: Any) -> Iterator[None]:
    """Within this block the output head of the causal language model `model` multiplies in float32, whatever dtype its states and weights
    have; its weights are converted `HEAD_ROWS` at a time. Raise UserError if it has no plain head."""
    import torch

    found = model.get_output_embeddings()
    if not isinstance(found, torch.nn.Linear) or not found.weight.is_floating_point():
        raise UserError(f"{type(model).__name__} has no plain output head, whose product evaluation takes in float32 on a GPU: use a CPU.")

    head: Any = found

    def product(states: torch.Tensor) -> torch.Tensor:
        wide, biases = states.float(), None if head.bias is None else head.bias.float()
        parts = [torch.nn.functional.linear(wide, rows.float()) for rows in head.weight.split(HEAD_ROWS)]
        made = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        return made if biases is None else made + biases

    # A hook of accelerate's may stand in the method's place.
    before = vars(head).get("forward")
    head.forward = product
    try:
        with _exact_products():
            yield
    finally:
        if before is None:
            del head.forward
        else:
            head.forward = before


@contextmanager
def _by_onednn(model: "torch.nn.Module") -> Iterator[None]:
    """Within this block the float32 projections of `model` multiply by oneDNN, which PyTorch keeps for half precision. On an AMD EPYC that
    is twice as fast as MKL (215 GFLOP/s a core instead of 100, 3,120 rows of 576 by 1,536)."""
    import torch

    plain: list[Any] = [one for one in model.modules() if type(one) is torch.nn.Linear and one.weight.dtype == torch.float32]
    mine = [one for one in plain if "forward" not in vars(one)] if _onednn_multiplies() else []
    for module in mine:
        module.forward = partial(_onednn_product, module)
    try:
        yield
    finally:
        for module in mine:
            del module.forward


def _onednn_product(module: Any, x: "torch.Tensor") -> "torch.Tensor":
    import torch

    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, module.weight, module.bias, "none", [], "")
    return made


@cache
def _onednn_multiplies() -> bool:
    """Return whether PyTorch has that product, which is private to it, and it computes the right numbers here."""
    import torch

    generator = torch.Generator().manual_seed(0)
    linear: Any = torch.nn.Linear(96, 160, device="meta")
    linear.weight = torch.nn.Parameter(torch.randn(160, 96, generator=generator), requires_grad=False)
    linear.bias = torch.nn.Parameter(torch.randn(160, generator=generator), requires_grad=False)
    x = torch.randn(2, 3, 96, generator=generator)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        ours = _onednn_product(linear, x)
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return torch.allclose(ours, linear(x), rtol=1e-5, atol=1e-5)


def _tensors(model: "torch.nn.Module") -> "Iterator[torch.Tensor]":
    """Yield parameters and buffers, each once."""
    yield from model.parameters()
    yield from model.buffers()


def _plain(packed: Any) -> "torch.nn.Linear":
    import torch

    linear = torch.nn.Linear(packed.in_features, packed.out_features, bias=packed.bias is not None, device="meta")
    linear.weight = torch.nn.Parameter(plain_weight(packed).float(), requires_grad=False)
    if packed.bias is not None:
        linear.bias = torch.nn.Parameter(packed.bias.detach().to(packed.compute_dtype or packed.bias.dtype).float(), requires_grad=False)
    return linear.eval()


def _put(model: "torch.nn.Module", name: str, module: "torch.nn.Module") -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def _require(needed: int) -> None:
    free = cgroup_memory.free_bytes()
    if needed > free:
        raise UserError(
            f"Evaluation on a CPU is in float32, which takes {needed / (1 << 30):.1f} GiB more for this model's weights, and "
            f"{free / (1 << 30):.1f} GiB are free: ask for more memory (hydra.launcher.mem_gb), or for a GPU."
        )


@contextmanager
def _exact_products() -> Iterator[None]:
    """Keep products of float32 numbers within this block from being rounded to fewer bits, whatever else the process allows."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
