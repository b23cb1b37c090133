"""Whether the fused engine computes a model as plain transformers do: tried on a small random model of the same configuration.

Several documents in one row, of two trials with adapters of their own, against each document alone through transformers' eager
computation with the adapter added to the weights: losses, and the gradients of the adapters. Then one document is changed, and the
others' losses may not move. No family is known by name, so that a new one is checked as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from persona_exp.errors import UserError
from persona_exp.modeling.lora_targets import check_targets
from persona_exp.modeling.model_architecture import reads_weight_directly
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, projections
from persona_exp.modeling.multi_lora.row_tensors import Document, Row
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.output_head import logits
from persona_exp.training.fused.chunked_cross_entropy import chunked_cross_entropy
from persona_exp.training.fused.small_random_model import random_small_model, small_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Longer than every window of a reduced configuration, of several lengths, two of them of one trial.
LENGTHS = ((0, 23), (0, 9), (1, 31))
# Losses (nats) may differ by so much in float32, and gradients by that part of their largest: sums in another order move them by 3e-5,
# a wrong one by tenths.
TOLERANCE, OF_GRADIENTS = 1e-5, 1e-3
# What is left of a gradient that is 0, as a part of the largest of all.
ROUNDING = 1e-6
# How often conversations are drawn to be padded.
DRAWS = 3


@dataclass(frozen=True)
class ParityCheck:
    """What was found of a configuration: half a sentence each on what speaks against engine=fused and against any engine, empty where
    nothing does; the names of the projections whose adapters have a part in the result. `tried` is False where no small model could be
    made, which leaves engine=sft as it is."""

    against_rows: str
    against_training: str
    targets: tuple[str, ...]
    tried: bool = True


@dataclass(frozen=True)
class Trial:
    """One adapter of the check and the documents that it computes."""

    adapter: Adapter
    documents: Sequence[Document]


def check_parity(config: "PreTrainedConfig") -> ParityCheck:
    """Check models of `config`, that of a causal language model, in rows and in padded batches."""
    with _one_thread():
        return _checked(config)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: on busy processors threads wait for each other longer than products of this size take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _checked(config: "PreTrainedConfig") -> ParityCheck:
    family = config.model_type
    try:
        config = small_config(config)
        model = random_small_model(config)
        against = _against_training(model)
    except Exception as error:
        # Small sizes may not fit each other where the real ones do.
        return ParityCheck(f"no small model of {family} could be made to try it on ({_first_line(error)})", "", (), tried=False)
    if against:
        return ParityCheck(against, against, ())
    left_out = read_past(model) | ambiguous(model) | idle(model) | refused(model)
    shapes = {name: shape for name, shape in targets_of(model).items() if name.rsplit(".", 1)[-1] not in left_out}
    names = sorted({name.rsplit(".", 1)[-1] for name in shapes})
    if not names:
        nothing = f"{family} has no linear projections to adapt"
        return ParityCheck(nothing, nothing, ())
    found = _in_rows(config, shapes)
    if not found:
        return ParityCheck("", "", tuple(names))
    without_adapters = _in_rows(config, {})
    if without_adapters:
        return ParityCheck(without_adapters, "", tuple(names))
    # One projection may be to blame whose weights the model reads past it: routers, parts of state spaces.
    sound = tuple(name for name in names if not _in_rows(config, _of(shapes, (name,))))
    found = _in_rows(config, _of(shapes, sound)) if sound else found
    return ParityCheck(found, "", tuple(names) if found else sound)


def ambiguous(model: torch.nn.Module) -> set[str]:
    """Return names that linear layers of `model` share with modules of other kinds, on all of which PEFT would put an adapter, or on none;
    and those of layers that return something else than a linear layer does, as routers may."""
    found = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if not isinstance(module, torch.nn.Linear)}

    def note(name: str, output: object) -> None:
        if not isinstance(output, torch.Tensor):
            found.add(name.rsplit(".", 1)[-1])

    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    hooks = [module.register_forward_hook(lambda _, __, output, name=name: note(name, output)) for name, module in linear]
    with torch.no_grad():
        model(input_ids=torch.tensor([[3, 4, 5]]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def read_past(model: torch.nn.Module) -> set[str]:
    """Return the names of projections of `model` whose weights some path of its code reads without calling them: kernels of state spaces on
    a GPU, say, under which an adapter would do nothing."""
    # One of each kind.
    kinds = {type(module): module for module in model.modules() if type(module).__module__.startswith("transformers.")}
    return {
        name
        for kind, module in kinds.items()
        for name, child in module.named_children()
        if isinstance(child, torch.nn.Linear) and reads_weight_directly(kind, name)
    }


def refused(model: torch.nn.Module) -> set[str]:
    """Return the names of linear layers of `model` that neither engine trains: of the output head, and of what else bears such a name."""
    found = set()
    for name in {name.rsplit(".", 1)[-1] for name in projections(model)}:
        try:
            check_targets(model, [name])
        except UserError:
            found.add(name)
    return found


def idle(model: Any) -> set[str]:
    """Return the names of projections of `model` through which no gradient of the loss goes: an adapter there would never move."""
    largest: dict[str, float] = {}
    shapes = targets_of(model)
    for slot in (0, 1):
        _, gradients = _alone(model, _trial(slot, shapes, int(model.config.vocab_size), seed=1))
        for name, both in gradients.items():
            last = name.rsplit(".", 1)[-1]
            largest[last] = max(largest.get(last, 0.0), *(float(one.abs().max()) for one in both))
    return {name for name, most in largest.items() if most == 0}


def _of(shapes: Mapping[str, tuple[int, int]], names: Sequence[str]) -> dict[str, tuple[int, int]]:
    return {name: shape for name, shape in shapes.items() if name.rsplit(".", 1)[-1] in names}


def _in_rows(config: "PreTrainedConfig", shapes: Mapping[str, tuple[int, int]]) -> str:
    """Return what speaks against adapters on the projections `shapes` in rows."""
    try:
        return _compared(random_small_model(config), shapes)
    except UserError as refusal:
        return str(refusal)[:1].lower() + _first_line(refusal)[1:]
    except Exception as error:
        # What a family needs and rows do not have fails in as many ways as there are families.
        return f"{config.model_type} fails where several conversations are computed in one row ({type(error).__name__})"


@torch.no_grad()
def _against_training(model: Any) -> str:
    """Return what speaks against learning from padded batches of conversations."""
    return next(filter(None, (_against_padding(model, seed) for seed in range(DRAWS))), "")


def _against_padding(model: Any, seed: int) -> str:
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(3, int(model.config.vocab_size), (length,), generator=generator) for _, length in LENGTHS]
    alone = [model(input_ids=one[None], use_cache=False).logits[0] for one in ids]
    if not torch.allclose(model(input_ids=ids[0][None, :-3], use_cache=False).logits[0], alone[0][:-3], rtol=0, atol=TOLERANCE):
        return "what comes later in a text changes how it reads what came before, so it is no causal language model"
    width = max(len(one) for one in ids)
    padded = torch.zeros((len(ids), width), dtype=torch.long)
    mask = torch.zeros_like(padded)
    for row, one in enumerate(ids):
        padded[row, : len(one)], mask[row, : len(one)] = one, 1
    batch = model(input_ids=padded, attention_mask=mask, use_cache=False).logits
    off = max(float((batch[row, : len(one)] - alone[row]).abs().max()) for row, one in enumerate(ids))
    return "" if off <= 10 * TOLERANCE else f"a conversation in a padded batch gets other logits than by itself, by {off:.2g}"


def targets_of(model: Any) -> dict[str, tuple[int, int]]:
    """Return the projections of `model` but for its output head."""
    head = model.get_output_embeddings()
    found = projections(model)
    return {name: shape for name, shape in found.items() if model.get_submodule(name) is not head}


def _compared(model: Any, shapes: Mapping[str, tuple[int, int]]) -> str:
    vocabulary = int(model.config.vocab_size)
    trials = [_trial(slot, shapes, vocabulary, seed=1) for slot in (0, 1)]
    alone = {slot: _alone(model, trial) for slot, trial in enumerate(trials)}
    learns = bool(shapes)
    shared = SharedModel(model)
    for slot, trial in enumerate(trials):
        shared.join(slot, trial.adapter)
    in_row = _in_row(shared, trials, backward=learns)
    for slot, trial in enumerate(trials):
        expected, gradients = alone[slot]
        noise = ROUNDING * max((float(one.abs().max()) for both in gradients.values() for one in both), default=0.0)
        if not torch.allclose(in_row[slot], expected, rtol=TOLERANCE, atol=TOLERANCE):
            return f"its losses in a row are off by {float((in_row[slot] - expected).abs().max()):.2g} nats"
        for name, pair in trial.adapter.pairs.items():
            for own, of_weight in zip((pair.a.grad, pair.b.grad), gradients[name], strict=True):
                assert own is not None
                if not float((own - of_weight).abs().max()) <= OF_GRADIENTS * float(of_weight.abs().max()) + noise:
                    return f"the gradients of {name.rsplit('.', 1)[-1]} in a row are not its own"
    other = [_trial(0, shapes, vocabulary, seed=2, adapter=trials[0].adapter), trials[1]]
    change = float((_in_row(shared, other, backward=False)[1] - in_row[1]).abs().max())
    return "" if change <= TOLERANCE else f"one conversation in a row changes another's losses by {change:.2g} nats"


def _trial(slot: int, shapes: Mapping[str, tuple[int, int]], vocabulary: int, seed: int, adapter: Adapter | None = None) -> Trial:
    generator = torch.Generator().manual_seed(100 * seed + slot)
    documents: list[Document] = []
    for own, length in LENGTHS:
        if own == slot:
            ids = torch.randint(3, vocabulary, (length,), generator=generator).tolist()
            documents.append(Document(slot, ids, ids, 0, len(documents)))
    if adapter is None:
        adapter = Adapter(shapes, r=2, alpha=2, dropout=0.0, rslora=False, seed=slot)
        with torch.no_grad():
            adapter.b.copy_(0.2 * torch.randn(adapter.b.shape, generator=generator))
    return Trial(adapter, documents)


def _alone(model: Any, trial: Trial) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Return the losses of each document by itself, one behind the other, and the gradients of A and B of each projection."""
    weights = {name: model.get_submodule(name).weight for name in trial.adapter.pairs}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    model.requires_grad_(False)
    with torch.no_grad():
        for name, pair in trial.adapter.pairs.items():
            weights[name].add_(pair.scale * pair.b @ pair.a)
    for weight in weights.values():
        weight.requires_grad_(True)
    each = []
    for document in trial.documents:
        ids = torch.tensor([document.input_ids])
        found = model(input_ids=ids, use_cache=False).logits[0, :-1]
        each.append(torch.nn.functional.cross_entropy(found, ids[0, 1:], reduction="none"))
    total = torch.cat(each)
    if weights:
        total.sum().backward()  # type: ignore[no-untyped-call]
    gradients = {}
    for name, pair in trial.adapter.pairs.items():
        of_weight = torch.zeros_like(before[name]) if weights[name].grad is None else weights[name].grad
        gradients[name] = (pair.scale * pair.b.detach().T @ of_weight, pair.scale * of_weight @ pair.a.detach().T)
        weights[name].grad = None
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(before[name])
    return total.detach(), gradients


def _in_row(shared: SharedModel, trials: Sequence[Trial], *, backward: bool) -> dict[int, torch.Tensor]:
    """Return the losses of all documents in one row, by trial; add gradients to the adapters."""
    row = Row([document for trial in trials for document in trial.documents])
    for trial in trials:
        trial.adapter.zero_grad()
    with torch.set_grad_enabled(backward):
        hidden = shared.hidden_states(row, training=False)
        total, each = chunked_cross_entropy(
            hidden[row.places], lambda own: logits(shared.model, own), row.targets, torch.ones(len(row.places))
        )
        if backward:
            total.backward()  # type: ignore[no-untyped-call]
    return {span.slot: each[row.owners == number] for number, span in enumerate(row.spans)}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:200] or type(error).__name__
