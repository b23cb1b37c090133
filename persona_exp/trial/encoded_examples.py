"""A trial's own examples as tokens and labels: drawn from its dataset by the mix, what does not fit counted."""

from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.evaluation.item_sampling import sample_items
from persona_exp.modeling.tokenised_dataset import TokenisedDataset
from persona_exp.training import label_audit
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.token_cache import tokenisation, tokens_of
from persona_exp.trial.trial_dataset import training_examples, validation_examples

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.training.fused.early_stopping import EarlyStopping


def encode_examples(trial: ClaimedTrial, model_folder: Path) -> TokenisedDataset:
    """Return the trial's training examples that fit, what their labels cover noted and printed. Raise UserError where none fits."""
    config = trial.config
    every = tokens_of(tokenisation(config, trial.data_id, model_folder, "train"))
    encoded, skipped = drawn_examples(config, trial.data_id, every).fitting()
    report = label_audit.audit_labels(encoded, skipped)
    trial.attempt.note(labels=report.as_dict())
    print(report.sentence(), flush=True)
    if config.train.show_labels:
        from persona_exp.modeling.tokenizer_loading import load_tokenizer

        label_audit.print_labels(encoded[: config.train.show_labels], load_tokenizer(model_folder, config.model.chat_template))
    return encoded


def encode_validation_examples(trial: ClaimedTrial, model_folder: Path) -> "EarlyStopping | None":
    """Return what the trial is validated on while it trains, with what does not fit noted and printed; None where it is not."""
    from persona_exp.training.fused.early_stopping import EarlyStopping

    settings = trial.config.train
    if settings.eval_steps is None:
        return None
    every = tokens_of(tokenisation(trial.config, trial.data_id, model_folder, "validation"))
    encoded, skipped = drawn_validation_examples(trial.config, trial.data_id, every).fitting()
    report = label_audit.count_labels(encoded, skipped)
    trial.attempt.note(validation_labels=report.as_dict())
    if report.shortened or report.cut or report.skipped:
        print(report.sentence("validation examples"), flush=True)
    return EarlyStopping(encoded, settings.eval_steps, settings.early_stopping_patience)


def drawn_examples(config: "Config", data_id: str, every: TokenisedDataset) -> TokenisedDataset:
    """Return the trial's own of `every` example of the training split. Raise UserError where one cannot be encoded, or none fits."""
    found = every.named(one.id for one in training_examples(config, data_id))
    _refuse_unfit(found, "training examples", config.train.max_length)
    return found


def drawn_validation_examples(config: "Config", data_id: str, every: TokenisedDataset) -> TokenisedDataset:
    """Return those of `every` example of the validation split that the trial is validated on. Raise UserError as `drawn_examples` does."""
    chosen = sample_items([vars(one) for one in validation_examples(config, data_id)], config.train.eval_items)
    found = every.named(one["id"] for one in chosen)
    _refuse_unfit(found, "validation examples", config.train.max_length)
    return found


def _refuse_unfit(found: TokenisedDataset, what: str, max_length: int) -> None:
    """Raise UserError where one of `found` cannot be encoded, or none of them fits."""
    if fault := found.fault():
        raise UserError(f"{fault[1]} (example {fault[0]})")
    if len(found) and not found.rows["length"].any():
        raise UserError(
            f"None of the {len(found)} {what} fits into train.max_length={max_length}, and the shortest has {found.rows['whole'].min()} "
            "tokens: raise it or shorten persona.system_prompt."
        )
