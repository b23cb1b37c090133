"""How much memory trials by themselves need, estimated from their configs. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from persona_exp.config.schema import Config
from persona_exp.modeling import training_memory_estimate
from persona_exp.modeling.layer_sizes import LayerSizes, layer_sizes_of
from persona_exp.modeling.model_cache import cache_folder

_known: dict[tuple[str, str, str | None, str | None, Path], LayerSizes] = {}


def base_layer_sizes(config: Config) -> LayerSizes | None:
    """Return the sizes of the config's base model; None where they are not known here."""
    model = config.model
    asked = (model.source, model.location, model.revision, model.sha256, cache_folder())
    # What is not known may be soon, when the model was fetched.
    if asked not in _known and (found := layer_sizes_of(*asked)) is not None:
        _known[asked] = found
    return _known.get(asked)


def neediest_trial_gb(configs: Sequence[Config], *, gpu: bool) -> float | None:
    """Return the memory that the neediest trial takes, in GiB; None where a model's shape is not known here."""
    most = 0
    for config in configs:
        needs = _needs(config, gpu=gpu)
        if needs is None:
            return None
        most = max(most, needs.total)
    return most / training_memory_estimate.GIB if most else None


def least_trial_gb(config: Config, *, gpu: bool) -> float | None:
    """Return the GiB below which no trial of `config` can be, however short its rows: the weights, and what is trained of them or beside
    them with its gradients and its optimiser's states, as far as these are not paged. None where the model's shape is not known here."""
    needs = _needs(config, gpu=gpu)
    if needs is None:
        return None
    paged = gpu and config.optim.name.startswith("paged")
    return (needs.weights + needs.adapter + needs.gradients + (0 if paged else needs.optimiser)) / training_memory_estimate.GIB


def _needs(config: Config, *, gpu: bool) -> training_memory_estimate.MemoryEstimate | None:
    model, method, lora, train = config.model, config.method, config.lora, config.train
    shape = base_layer_sizes(config)
    if shape is None:
        return None
    return training_memory_estimate.estimate_training_memory(
        shape,
        training_memory_estimate.TrialTraining(
            method=method.name,
            quantisation=method.quantisation,
            double_quantisation=method.double_quantisation,
            dtype=model.dtype,
            attention=model.attention,
            r=lora.r,
            target_modules=lora.target_modules,
            dropout=lora.dropout,
            optimizer=config.optim.name,
            micro_batch_size=min(train.micro_batch_size or model.micro_batch_size, config.optim.effective_batch_size),
            max_length=train.max_length,
            gradient_checkpointing=train.gradient_checkpointing is True,
            gpu=gpu,
        ),
    )
