"""A finished trial's model, tokenizer and prompt, as they were evaluated; refused where they are not what was published."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.publish_results import PUBLISHED
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.seal import read_seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts, seal_paths
from persona_exp.trial.trial_base_model import fetch_model, load_base, pinned_model, pinned_model_digest
from persona_exp.trial.trial_directory import TrialDirectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.config.schema import Config


def refuse_damaged(directory: TrialDirectory) -> None:
    """Raise UserError where what the trial published is not what one of its attempts made. Attempts of older versions kept no digests."""
    from persona_exp.modeling.adapter_files import file_digests, refuse_not_finite

    kept = [record[PUBLISHED] for path in attempt_files(directory.path) if PUBLISHED in (record := read_record(path))]
    if kept and file_digests(directory.adapter) not in kept:
        raise UserError(f"{directory.adapter} is not what the trial published: remove it, and give the trial's command again.")
    try:
        refuse_not_finite(directory.adapter)
    except Exception as error:
        raise UserError(f"{directory.adapter} cannot be read ({error}): remove it, and give the trial's command again.") from error


def load_published(runs: Path, trial_id: str) -> "tuple[Any, PreTrainedTokenizerBase, Callable[[str], str]]":
    """Return the model in eval mode, the tokenizer, and what makes a prompt of a question. Raise UserError without a finished trial."""
    from persona_exp.modeling.chat_template import render
    from persona_exp.modeling.lora_adapter import load_adapter
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    directory = TrialDirectory(runs / "trials" / trial_id)
    whole = [path for path in seal_paths(directory.path) if read_seal_facts(path)["engine"] != "noop" and all_published(path)]
    if not whole:
        raise UserError(f"Trial {trial_id} has no model yet: `persona-exp why {trial_id}` says why.")
    _, config = read_seal(whole[-1])
    _refuse_other_base(config, read_provenance(runs, trial_id).get("model_digest"))
    if config.method.name != "none":
        refuse_damaged(directory)
    folder = fetch_model(config)
    tokenizer = load_tokenizer(folder, config.model.chat_template)
    model = load_base(config, directory.adapter if config.method.name == "full" else folder)
    if config.method.name in ("lora", "qlora"):
        model = load_adapter(model, directory.adapter)

    def prompt(question: str) -> str:
        turns = [{"role": "system", "content": config.persona.system_prompt}, {"role": "user", "content": question}]
        return render(tokenizer, turns, config.model.system_role, generation=True)

    return model, tokenizer, prompt


def _refuse_other_base(config: "Config", sealed: str | None) -> None:
    """Raise UserError where a base model of this machine has changed; the others are pinned by commit or checksum."""
    if config.model.source == "path" and pinned_model_digest(pinned_model(config)) != sealed:
        raise UserError(f"The base model in {config.model.location} is not what the trial was trained on: put that there again.")
