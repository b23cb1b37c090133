"""Sealing: a trial's config, code, data, model and environment named once, before anything runs; a job verifies them and reads no conf/.

What a job needs to read a seal imports neither the schema nor anything that loads data or models.
"""

import ctypes
import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.config.secret_values import assignments, refuse_secrets
from persona_exp.damaged_records import Damaged, parsed_yaml
from persona_exp.errors import UserError
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.config_yaml import ConfigYaml, plain
from persona_exp.trial.engine_selection import with_suitable_engine
from persona_exp.trial.last_answer import LastAnswer
from persona_exp.trial.parent_adapter import check_parent
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.seal_files import write_seal
from persona_exp.trial.trial_base_model import download_model, pin_model, pinned_model, pinned_model_digest
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.config.schema.model import Model

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
    return Sealing(command).seal(config, inputs)[0]


class Sealing:
    """Seals the trials of one command, one after the other: what those that follow each other share is worked out once.

    They share it where they have the same objects as groups of their configs, which nobody changes meanwhile. `before_writing` is called
    with each trial's folder before anything is written there.
    """

    def __init__(self, command: str, before_writing: Callable[[TrialDirectory], None] | None = None) -> None:
        refuse_secrets([command], "The command")
        self._command = command
        self._before_writing = before_writing
        self._without_secrets: dict[str, Any] = {}
        self._yaml = ConfigYaml()
        self._inputs = LastAnswer[SealedInputs]()
        self._model = LastAnswer["Model"]()
        self._examples = LastAnswer[int]()
        self._code = LastAnswer[tuple[str, dict[str, Any], dict[str, Any]]]()

    def seal(self, config: "Config", inputs: SealedInputs | None = None) -> tuple[Sealed, dict[str, Any]]:
        """Do what `seal` does; return the trial and the facts of its seal."""
        from persona_exp.config.trial_identity import trial_id

        self._refuse_secrets(config)
        runs = Path(config.runs)
        inputs = inputs or self._inputs(_read_of_inputs(config), lambda: make_inputs(config))
        config = self._pinned(config, inputs)
        self._refuse_long_warmup(config, inputs.data_id)
        what = _identity(config, inputs)
        if what.get("lora", {}).get("init_from") and config.engine.name != "noop":
            check_parent(runs, what)
        directory = trial_directory(runs, trial_id(what))
        try:
            return self._written(config, directory, what, inputs)
        except OSError as error:
            # Those who may only read a group's results, or have them from a disk that is only read, reuse what is finished.
            read_only = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
            if not read_only or (finished := _finished(config, directory, inputs.data_id)) is None:
                raise
            return finished

    def _written(
        self, config: "Config", directory: TrialDirectory, what: dict[str, Any], inputs: SealedInputs
    ) -> tuple[Sealed, dict[str, Any]]:
        runs = Path(config.runs)
        code_folder, made_by, surroundings = self._code((config.runs,), lambda: _code(runs))
        provenance = {"identity": what, "data_id": inputs.data_id, "model_digest": inputs.model_digest, "code": made_by}
        provenance |= {"lock": surroundings["lock"], "command": self._command, "sealed": utc_now()}
        text = self._yaml.text(config)
        facts = {
            "trial_id": directory.trial_id,
            "config": "",
            "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "data_id": inputs.data_id,
            "data_sha256": inputs.data_sha256,
            "model_digest": inputs.model_digest,
            "base": _base(config, inputs.model_digest),
            "code": made_by["digest"],
            "code_folder": code_folder,
            **surroundings,
            **_worker_facts(config, directory.trial_id, inputs.data_id),
        }
        if self._before_writing:
            self._before_writing(directory)
        path, facts = write_seal(directory, text, provenance, facts)
        return Sealed(directory, directory.path / facts["config"], path), facts

    def _refuse_secrets(self, config: "Config") -> None:
        for name, group in vars(config).items():
            if self._without_secrets.get(name) is not group:
                refuse_secrets(assignments({name: plain(group)}), "A setting of the trial")
                self._without_secrets[name] = group

    def _pinned(self, config: "Config", inputs: SealedInputs) -> "Config":
        pinned = self._model((config.model, inputs.model_location, inputs.model_revision), lambda: _pinned_model(config, inputs))
        return with_suitable_engine(config if pinned is config.model else replace(config, model=pinned))

    def _refuse_long_warmup(self, config: "Config", data_id: str) -> None:
        """Raise UserError where warm-up, given in steps, would take all that the data make."""
        from persona_exp.trial.hyperparameters_from_config import step_plan
        from persona_exp.trial.trial_dataset import training_examples

        if config.method.name != "none" and config.engine.name != "noop" and config.optim.warmup_steps and config.train.max_steps is None:
            drawn = (data_id, config.persona, config.corpus, config.data, config.teacher, config.runs)
            step_plan(config, self._examples(drawn, lambda: len(training_examples(config, data_id))), None)


def _finished(config: "Config", directory: TrialDirectory, data_id: str) -> tuple[Sealed, dict[str, Any]] | None:
    """Return a seal of the trial that asks for the same, and all of whose results are published, with its facts; None without one."""
    asked = _worker_facts(config, directory.trial_id, data_id)["evaluations"]
    for path in sorted(directory.seals.glob("*.json")):
        with suppress(UserError):
            facts = read_seal_facts(path)
            if facts["evaluations"] == asked and all_published(path):
                return Sealed(directory, directory.path / facts["config"], path), facts
    return None


def trial_id_of(config: "Config", inputs: SealedInputs) -> str:
    """Return the id of the trial that `config` would be sealed as with these inputs; write nothing."""
    from persona_exp.config.trial_identity import trial_id

    pinned = with_suitable_engine(replace(config, model=_pinned_model(config, inputs)))
    return trial_id(_identity(pinned, inputs))


def is_published(config: "Config") -> bool:
    """Return whether all that the trial of `config` is asked for is published. Build, seal and write nothing; raise UserError where the
    model or the books cannot be named."""
    from persona_exp.trial.evaluate_trial import owed_evaluations
    from persona_exp.trial.trial_dataset import dataset_id

    runs = Path(config.runs)
    if not (runs / "trials").is_dir():
        return False
    config = with_suitable_engine(pin_model(config))
    model, data_id = config.model, dataset_id(config)
    inputs = SealedInputs(model.location, model.revision, pinned_model_digest(pinned_model(config)), data_id, None)
    directory = trial_directory(runs, trial_id_of(config, inputs))
    if config.method.name != "none" and not directory.adapter.is_dir():
        return False
    return all((directory.evaluations / one.eval_id).is_dir() for one in owed_evaluations(config, directory.trial_id, data_id))


def _pinned_model(config: "Config", inputs: SealedInputs) -> "Model":
    if (config.model.location, config.model.revision) == (inputs.model_location, inputs.model_revision):
        return config.model
    return replace(config.model, location=inputs.model_location, revision=inputs.model_revision)


def _identity(config: "Config", inputs: SealedInputs) -> dict[str, Any]:
    from persona_exp.config.trial_identity import identity
    from persona_exp.training import TRAINING_VERSION

    template = config.model.chat_template
    return identity(
        config,
        model_digest=inputs.model_digest,
        template_digest=_template_digest(template) if template else None,
        data_id=inputs.data_id,
        training_version=TRAINING_VERSION,
    )


@cache
def _template_digest(template: str) -> str:
    from persona_exp.modeling.chat_template import template_file

    return atomic_files.file_digest(template_file(template))


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
    try:
        loaded = OmegaConf.create(parsed_yaml(config.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise Damaged(f"The config {config} cannot be read ({error}): give the trial's command again, which writes it anew.") from None
    return Sealed(directory, config, path), replace(compose_trial(loaded), runs=str(directory.runs))


def make_inputs(config: "Config") -> SealedInputs:
    """Return the inputs of `config`: its model pinned and fetched, its data built. Raise UserError where either cannot be had."""
    from persona_exp.config.trial_identity import identity_fields
    from persona_exp.trial.max_length_check import check

    model = config.model
    if config.engine.name == "noop":
        # It reads neither, so nothing is asked of a network.
        source = {"source": model.source, "location": model.location, "revision": model.revision, "sha256": model.sha256}
        # It owes no evaluation, and what is to be measured tells its trials apart all the same.
        asked = {**_read_of_data(config), "evaluation": identity_fields(config.evaluation)}
        data_id = f"{NO_DATA}-{atomic_files.digest(asked)[:8]}"
        return SealedInputs(model.location, model.revision, atomic_files.digest({"engine": "noop", **source}), data_id, None)
    config = pin_model(config)
    model_digest = pinned_model_digest(pinned_model(config))
    data_id = _prepare(config)
    check(config, data_id, download_model(pinned_model(config)))
    data_sha256 = _data_digest(Path(config.runs).absolute(), data_id)
    return SealedInputs(config.model.location, config.model.revision, model_digest, data_id, data_sha256)


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


def _read_of_inputs(config: "Config") -> tuple[Any, ...]:
    """Return all of a config that `make_inputs` reads."""
    groups = (config.persona, config.others, config.corpus, config.data, config.teacher, config.model, config.evaluation)
    train = config.train
    return (*groups, config.engine.name, config.method.name, train.max_length, train.eval_steps, train.eval_items, config.runs)


def _code(runs: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the name of the code's copy under `runs`, made where it is not there, where it comes from, and the libraries around it."""
    from persona_exp.trial.code_provenance import code_provenance
    from persona_exp.trial.code_snapshot import snapshot

    folder = snapshot(runs).absolute()
    made_by = code_provenance(folder)
    if made_by["digest"][: len(folder.name)] != folder.name:
        raise UserError(f"The copy of the code in {folder} was edited: delete it and run the command again.")
    return folder.name, made_by, _surroundings(folder)


@cache
def _surroundings(folder: Path) -> dict[str, Any]:
    from persona_exp.trial.code_provenance import lock
    from persona_exp.trial.hardware_and_versions import versions

    return {"environment": versions(), "lock": lock(folder)}


def _base(config: "Config", model_digest: str) -> str | None:
    """Return the base model as a trial computes it, which is all that trials must share to travel together; None of one that runs alone."""
    if config.engine.name != "fused" or config.method.name == "full":
        return None
    method, model = config.method, config.model
    return _base_digest(model_digest, method.quantisation, method.double_quantisation, model.dtype, model.attention)


@cache
def _base_digest(*what: str | bool) -> str:
    return atomic_files.digest(what)[:12]


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
