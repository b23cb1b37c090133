"""A trial trained alone, with engine=sft."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.training import checkpoint
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.energy_counters import device_energy
from persona_exp.trial.gpu_peak_flops import peak_flops
from persona_exp.trial.hyperparameters_from_config import optimizer_settings, step_plan
from persona_exp.trial.peak_memory import forget_peak_memory, peak_memory_bytes
from persona_exp.trial.resume_checkpoint import CHECKPOINTS, adopt
from persona_exp.trial.tracked_run import close_tracker, open_trial_tracker
from persona_exp.trial.training_throughput import TrainingTotals, flops_per_token, multiplied_weights, training_record
from persona_exp.trial.trial_base_model import load_base

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.modeling.tokenised_dataset import TokenisedDataset
    from persona_exp.training.experiment_trackers import Tracker


def train_trial(
    trial: ClaimedTrial, encoded: "TokenisedDataset", model_folder: Path, interruption: Interruption, micro_batch_size: int | None
) -> "tuple[Any, Tracker]":
    """Train on `encoded` from the trial's newest checkpoint on; return the model and the open tracker.

    Raise Interrupted when asked to leave.

    `micro_batch_size` takes the place of the config's, for a trial that ran out of memory with that.
    """
    from persona_exp.modeling.tokenizer_loading import load_tokenizer
    from persona_exp.training.sft_engine import CheckpointSettings, LogSettings, SftSettings, train_sft

    config, attempt = trial.config, trial.attempt
    settings = config.train
    with interruption.at_once():
        tokenizer = load_tokenizer(model_folder, config.model.chat_template)
        model = _trainable(config, model_folder)
        resume_from = adopt(trial.directory, attempt, settings.keep_checkpoints)
        if settings.router_aux_loss and micro_batch_size:
            raise UserError(
                "train.router_aux_loss balances experts within a micro-batch, for which there was no memory, and with a smaller one it is "
                f"another trial: set train.micro_batch_size={micro_batch_size}."
            )
        plan = step_plan(config, len(encoded), micro_batch_size)
    resumed_from = checkpoint.step_of(resume_from) if resume_from else None
    attempt.note(micro_batch_size=plan.micro_batch_size, resumed_from_step=resumed_from, checkpoint_step=resumed_from)
    if resume_from:
        print(f"Going on from step {resumed_from} of {plan.max_steps}.", flush=True)

    def on_step(step: int, of: int, loss: float | None) -> None:
        # Asked so often because a processor's count begins anew after some minutes.
        energy.joules()
        attempt.progress("training", step, of, loss)
        attempt.raise_if_superseded()

    attempt.progress("training", resumed_from or 0, plan.max_steps)
    forget_peak_memory()
    energy = device_energy()
    tracker = open_trial_tracker(trial, resumed_from or 0)
    try:
        summary = train_sft(
            model,
            tokenizer,
            encoded,
            settings=SftSettings(
                plan, optimizer_settings(config), config.seed, settings.gradient_checkpointing, router_aux_loss=settings.router_aux_loss
            ),
            checkpoints=CheckpointSettings(
                attempt.folder / CHECKPOINTS,
                settings.checkpoint_steps,
                settings.checkpoint_minutes,
                keep=settings.keep_checkpoints,
                resume_from=resume_from,
            ),
            log=LogSettings(attempt.folder / "train.jsonl", settings.log_steps, trial.directory.trial_id, tracker),
            interruption=interruption,
            on_step=on_step,
            on_save=lambda step: attempt.note(checkpoint_step=step),
        )
    except BaseException:
        close_tracker(trial, tracker, 1)
        raise
    attempt.note(
        training=training_record(
            TrainingTotals(**asdict(summary)),
            flops_per_token=flops_per_token(multiplied_weights(model), frozen=config.method.name != "full"),
            peak_flops=peak_flops((attempt.record.get("hardware") or {}).get("gpu")),
            peak_memory_bytes=peak_memory_bytes(),
            energy_joules=energy.joules(),
        )
    )
    return model, tracker


def _trainable(config: "Config", model_folder: Path) -> Any:
    model = load_base(config, model_folder)
    if config.method.name == "full":
        model.requires_grad_(True)
        return model
    from persona_exp.modeling.lora_adapter import add_lora
    from persona_exp.modeling.lora_targets import check_targets
    from persona_exp.trial.engine_selection import refuse_idle_targets

    lora = config.lora
    check_targets(model, lora.target_modules)
    refuse_idle_targets(lora.target_modules, model_folder)
    return add_lora(
        model,
        r=lora.r,
        alpha=lora.alpha,
        dropout=lora.dropout,
        target_modules=lora.target_modules,
        rslora=lora.rslora,
        seed=config.seed,
    )
