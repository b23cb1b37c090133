"""Sealing: a trial's config, code, data, model and environment named once, before anything runs; a job verifies them and reads no conf/.

What a job needs to read a seal imports neither the schema nor anything that loads data or models.
"""

import ctypes
import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.engine_selection import with_suitable_engine
from persona_exp.trial.parent_adapter import check_parent
from persona_exp.trial.trial_base_model import download_model, pin_model, pinned_model, pinned_model_digest
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

log = logging.getLogger(__name__)

# How the data's id of a rehearsal begins, which builds none.
NO_DATA = "noop"


@dataclass(frozen=True)
class Sealed:
    """A trial ready to run: `path` is its seal, which names all else; `config` is the file a worker reads instead of conf/."""

    directory: TrialDirectory
    config: Path
    path: Path

    @property
    def trial_id(self) -> str:
        return self.directory.trial_id


@dataclass(frozen=True)
class SealedInputs:
    """A base model, pinned, and a built dataset, by what a seal says of them. `data_sha256` is over the files; None of a rehearsal."""

    model_location: str
    model_revision: str | None
    model_digest: str
    data_id: str
    data_sha256: str | None


def seal(config: "Config", *, command: str, inputs: SealedInputs | None = None) -> Sealed:
    """Build the data that `config` asks for, fetch its model and write the trial's seal; the same config gives the same seal.

    With `inputs`, made for a config of the same data and model, neither books nor a network are asked. Raise UserError, before anything is
    written for the trial, when the model cannot be named, the data not be built, or a secret would be written. What the trials of a sweep
    share is read once a process.
    """
    from persona_exp.config.secret_values import assignments, refuse_secrets
    from persona_exp.config.trial_identity import trial_id
    from persona_exp.trial.code_provenance import code_provenance
    from persona_exp.trial.code_snapshot import snapshot

    refuse_secrets([command], "The command")
    refuse_secrets(assignments(asdict(config)), "A setting of the trial")
    runs = Path(config.runs)
    inputs = inputs or make_inputs(config)
    model_digest, data_id, data_sha256 = inputs.model_digest, inputs.data_id, inputs.data_sha256
    config = _with_inputs(config, inputs)
    _refuse_long_warmup(config, data_id)
    what = _identity(config, inputs)
    if what.get("lora", {}).get("init_from") and config.engine.name != "noop":
        check_parent(runs, what)
    directory = trial_directory(runs, trial_id(what))
    folder = snapshot(runs).absolute()
    made_by = code_provenance(folder)
    if made_by["digest"][: len(folder.name)] != folder.name:
        raise UserError(f"The copy of the code in {folder} was edited: delete it and run the command again.")
    provenance = {"identity": what, "data_id": data_id, "model_digest": model_digest, "code": made_by}
    _write_provenance(directory, {**provenance, "lock": _surroundings(folder)["lock"], "command": command})
    path, text = _write_config(directory, config)
    facts = {
        "trial_id": directory.trial_id,
        "config": path.name,
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "data_id": data_id,
        "data_sha256": data_sha256,
        "model_digest": model_digest,
        "base": _base(config, model_digest),
        "code": made_by["digest"],
        "code_folder": folder.name,
        **_surroundings(folder),
        **_worker_facts(config, directory.trial_id, data_id),
    }
    sealed = directory.seals / f"{atomic_files.digest(facts)[:8]}.json"
    _put(sealed, json.dumps(facts, indent=2) + "\n")
    # Asked for anew: `persona-exp clean` counts from here. Another person's folder may not be ours to touch.
    with suppress(OSError):
        os.utime(directory.path)
    return Sealed(directory, path, sealed)


def trial_id_of(config: "Config", inputs: SealedInputs) -> str:
    """Return the id of the trial that `config` would be sealed as with these inputs; write nothing."""
    from persona_exp.config.trial_identity import trial_id

    return trial_id(_identity(_with_inputs(config, inputs), inputs))


def _with_inputs(config: "Config", inputs: SealedInputs) -> "Config":
    pinned = replace(config.model, location=inputs.model_location, revision=inputs.model_revision)
    return with_suitable_engine(replace(config, model=pinned))


def _identity(config: "Config", inputs: SealedInputs) -> dict[str, Any]:
    from persona_exp.config.trial_identity import identity
    from persona_exp.modeling.chat_template import template_file
    from persona_exp.training import TRAINING_VERSION

    template = config.model.chat_template
    return identity(
        config,
        model_digest=inputs.model_digest,
        template_digest=atomic_files.file_digest(template_file(template)) if template else None,
        data_id=inputs.data_id,
        training_version=TRAINING_VERSION,
    )


def flush_to_disk(runs: Path) -> None:
    """Bring all that was sealed under `runs` to the disk; once, before anything that names the seals is written or submitted."""
    descriptor = os.open(runs, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(runs))
    finally:
        os.close(descriptor)


def read_seal(path: Path) -> tuple[Sealed, "Config"]:
    """Return a seal's trial and its config, in which `runs` is the folder of the seal, absolute. Raise UserError where it is damaged."""
    from omegaconf import OmegaConf

    from persona_exp.config.compose import compose_trial

    directory = TrialDirectory(path.absolute().parents[1])
    config = directory.path / read_seal_facts(path)["config"]
    loaded = OmegaConf.load(config)
    return Sealed(directory, config, path), replace(compose_trial(loaded), runs=str(directory.runs))  # type: ignore[arg-type]


def read_seal_facts(path: Path) -> dict[str, Any]:
    """Return a seal's facts. Raise UserError where it is missing or damaged."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"The seal {path} cannot be read ({error}): run the sweep's command again to seal the trial anew.") from None
    return facts


def all_published(path: Path) -> bool:
    """Return whether all that a seal asks of its trial is published; read off the seal and the folders alone."""
    facts, directory = read_seal_facts(path), TrialDirectory(path.parents[1])
    if facts["engine"] == "noop":
        return directory.noop.is_file()
    if facts["method"] != "none" and not directory.adapter.is_dir():
        return False
    return all((directory.evaluations / eval_id).is_dir() for eval_id in facts["evaluations"].values())


def make_inputs(config: "Config") -> SealedInputs:
    """Return the inputs of `config`: its model pinned and fetched, its data built. Raise UserError where either cannot be had."""
    from persona_exp.trial.max_length_check import check

    model = config.model
    if config.engine.name == "noop":
        # It reads neither, so nothing is asked of a network.
        source = {"source": model.source, "location": model.location, "revision": model.revision, "sha256": model.sha256}
        data_id = f"{NO_DATA}-{atomic_files.digest(_read_of_data(config))[:8]}"
        return SealedInputs(model.location, model.revision, atomic_files.digest({"engine": "noop", **source}), data_id, None)
    config = pin_model(config)
    model_digest = pinned_model_digest(pinned_model(config))
    data_id = _prepare(config)
    check(config, data_id, download_model(pinned_model(config)))
    data_sha256 = _data_digest(Path(config.runs).absolute(), data_id)
    return SealedInputs(config.model.location, config.model.revision, model_digest, data_id, data_sha256)


def _refuse_long_warmup(config: "Config", data_id: str) -> None:
    """Raise UserError where warm-up, given in steps, would take all that the data make."""
    from persona_exp.trial.hyperparameters_from_config import step_plan
    from persona_exp.trial.trial_dataset import training_examples

    if config.method.name != "none" and config.engine.name != "noop" and config.optim.warmup_steps and config.train.max_steps is None:
        step_plan(config, len(training_examples(config, data_id)), None)


_prepared: dict[str, str] = {}


def _prepare(config: "Config") -> str:
    """Return the data's id. What `prepare` reads of a config is the key; the rest of it may differ from trial to trial."""
    from persona_exp.trial.trial_dataset import dataset_folder, prepare

    trains = config.method.name != "none"
    asks = {"split": config.evaluation.split, "trains": trains, "looks": trains and config.train.eval_steps is not None}
    key = atomic_files.canonical_json({**_read_of_data(config), **asks, "runs": config.runs})
    known = _prepared.get(key)
    if known is None or not dataset_folder(Path(config.runs), known).is_dir():
        known = _prepared[key] = prepare(config)
    return known


def _read_of_data(config: "Config") -> dict[str, Any]:
    """Return what decides which data are built, and what is drawn from them but for its seed."""
    read = {name: asdict(getattr(config, name)) for name in ("persona", "corpus", "data", "teacher")}
    # Which examples are drawn is no part of the data, and whether there are enough of them does not hang on it.
    del read["data"]["seed"]
    return {**read, "others": {name: asdict(persona) for name, persona in config.others.items()}}


@cache
def _data_digest(runs: Path, data_id: str) -> str:
    from persona_exp.trial.trial_dataset import dataset_folder

    return data_digest(dataset_folder(runs, data_id))


def data_digest(folder: Path) -> str:
    """Return the digest (64 hex digits) over the files of a built dataset that its manifest lists. Raise UserError where one is missing."""
    from persona_exp.dataset.dataset_files import read_manifest

    names = sorted(read_manifest(folder)["files"])
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder / missing[0]} is missing; delete {folder} and build it again.")
    return atomic_files.digest({name: atomic_files.file_digest(folder / name) for name in names})


@cache
def _surroundings(folder: Path) -> dict[str, Any]:
    from persona_exp.trial.code_provenance import lock
    from persona_exp.trial.hardware_and_versions import versions

    return {"environment": versions(), "lock": lock(folder)}


def _base(config: "Config", model_digest: str) -> str | None:
    """Return the base model as a trial computes it, which is all that trials must share to travel together; None of one that runs alone."""
    if config.engine.name != "fused" or config.method.name == "full":
        return None
    quantisation = (config.method.quantisation, config.method.double_quantisation)
    return atomic_files.digest([model_digest, *quantisation, config.model.dtype, config.model.attention])[:12]


def _worker_facts(config: "Config", trial_id: str, data_id: str) -> dict[str, Any]:
    """Return what a worker must know of a config without reading it."""
    from persona_exp.trial.evaluate_trial import owed_evaluations

    return {
        "engine": config.engine.name,
        "method": config.method.name,
        "evaluations": {one.condition: one.eval_id for one in owed_evaluations(config, trial_id, data_id)},
        "heartbeat_seconds": config.cluster.heartbeat_seconds,
        # With router losses the micro-batch is part of what the trial is.
        "may": {"halve_micro_batch": config.train.halve_on_oom and not config.train.router_aux_loss},
    }


def _write_config(directory: TrialDirectory, config: "Config") -> tuple[Path, str]:
    # Where the runs are is told from where the config lies, so that a folder that is reached by two names gives one seal.
    text = _yaml(replace(config, runs="runs"))
    path = directory.config
    if not _create(path, text) and path.read_text(encoding="utf-8") != text:
        # The same trial asked for otherwise (another micro-batch, another evaluation): sealed beside the first.
        path = directory.path / f"config-{atomic_files.digest(text)[:8]}.yaml"
        _put(path, text)
    return path, text


def _yaml(config: "Config") -> str:
    """Return the config as YAML, group by group: those that a sweep does not touch are written once."""
    return "".join(_group_yaml(name, json.dumps(value)) for name, value in asdict(config).items())


@cache
def _group_yaml(name: str, value: str) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump({name: json.loads(value)}, Dumper=dumper, sort_keys=False, allow_unicode=True))


def _write_provenance(directory: TrialDirectory, facts: dict[str, Any]) -> None:
    """Write the first sealing's facts; warn where other code seals the trial again."""
    text = json.dumps({**facts, "sealed": utc_now()}, indent=2, ensure_ascii=False) + "\n"
    if _create(directory.provenance, text):
        return
    try:
        before = json.loads(directory.provenance.read_text(encoding="utf-8"))["code"]["digest"]
    except ValueError:
        # Cut short by a crash of the machine.
        atomic_files.write_text(directory.provenance, text)
        return
    if before != facts["code"]["digest"]:
        log.warning("Trial %s was sealed by other code; its results are reused.", directory.trial_id)


def _put(path: Path, text: str) -> None:
    """Have `text` in a file that is named after it, also where a crash of the machine cut an earlier one short."""
    if not _create(path, text) and path.read_text(encoding="utf-8") != text:
        atomic_files.write_text(path, text)


def _create(path: Path, text: str) -> bool:
    """Create it; `flush_to_disk` waits for the disk: three waits a trial make minutes of a large sweep."""
    return not path.exists() and atomic_files.create_text(path, text, flushed=False)
