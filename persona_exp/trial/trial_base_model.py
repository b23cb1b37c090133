"""A trial's base model: its revision pinned, fetched, loaded as the trial computes it, named in what is published."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.modeling.model_card import BaseModelReference
    from persona_exp.trial.trial_directory import TrialDirectory


@dataclass(frozen=True)
class PinnedModel:
    """Where a base model comes from: the settings of model that decide its weights, `revision` pinned to a commit."""

    source: str
    location: str
    revision: str | None
    sha256: str | None


def pin_model(config: "Config") -> "Config":
    """Return `config` with its model's revision pinned and, of a model of this machine, the absolute path."""
    model = config.model
    location = str(Path(model.location).expanduser().absolute()) if model.source == "path" else model.location
    return replace(config, model=replace(model, location=location, revision=_revision(model.source, location, model.revision)))


def pinned_model(config: "Config") -> PinnedModel:
    """Return where the base model of `config` comes from."""
    model = config.model
    return PinnedModel(model.source, model.location, _revision(model.source, model.location, model.revision), model.sha256)


@cache
def _revision(source: str, location: str, revision: str | None) -> str | None:
    # Asked once a process, so that all of a sweep has one answer.
    from persona_exp.modeling.model_source import pin_revision

    return pin_revision(source, location, revision)


@cache
def pinned_model_digest(model: PinnedModel) -> str:
    """Return the digest of a base model's weights and tokenizer, read once a process: a large one takes minutes."""
    from persona_exp.modeling.model_source import base_model_digest

    return base_model_digest(model.source, model.location, model.revision, model.sha256)


@cache
def download_model(model: PinnedModel) -> Path:
    """Return the model's folder in the cache, fetched where it is not there: jobs may run where nothing can be downloaded."""
    from persona_exp.modeling.model_cache import cache_folder
    from persona_exp.modeling.model_source import fetch

    return fetch(model.source, model.location, model.revision, model.sha256, cache_folder())


def fetch_model(config: "Config") -> Path:
    """Return the base model's folder on this machine, on the node's own disk where cluster.stage wants that."""
    cluster, folder = config.cluster, download_model(pinned_model(config))
    if cluster.scratch and "model" in cluster.stage:
        from persona_exp.modeling.node_scratch_copy import copy_to_scratch

        return copy_to_scratch(folder, cluster.scratch)
    return folder


def load_base(config: "Config", folder: Path) -> Any:
    """Return the base model in `folder` as the trial computes it."""
    from persona_exp.modeling.model_loading import load_model

    return load_model(
        folder,
        quantisation=config.method.quantisation,
        double_quantisation=config.method.double_quantisation,
        dtype=config.model.dtype,
        attention=config.model.attention,
    )


def base_reference(config: "Config", directory: "TrialDirectory") -> "BaseModelReference":
    """Return the name that what the trial publishes gives to its base model."""
    from persona_exp.modeling.model_card import base_model_reference
    from persona_exp.trial.record_files import read_json

    model, method = config.model, config.method
    return base_model_reference(
        model.source,
        model.location,
        model.revision,
        model.sha256,
        digest=str(read_json(directory.provenance)["model_digest"]),
        dtype=model.dtype,
        quantisation=method.quantisation,
        double_quantisation=method.double_quantisation,
        chat_template=model.chat_template,
    )
