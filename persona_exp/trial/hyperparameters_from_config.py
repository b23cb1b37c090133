"""A config's hyperparameters and steps, for the engines."""

from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.training.hyperparameters import Hyperparameters, OptimizerSettings
    from persona_exp.training.steps_and_micro_batches import StepPlan


def hyperparameters(config: "Config", examples: int) -> "Hyperparameters":
    """Return what engine=fused reads of a trial's config. Raise UserError where it would stop at none of its steps."""
    from persona_exp.training.hyperparameters import Hyperparameters, LoraSettings

    lora, plan, stop = config.lora, step_plan(config, examples, None), config.train.stop_at_step
    if stop is not None and stop >= plan.max_steps:
        raise UserError(f"train.stop_at_step={stop} is not below the {plan.max_steps} steps of this training: lower it, or leave it.")
    return Hyperparameters(
        seed=config.seed,
        lora=LoraSettings(r=lora.r, alpha=lora.alpha, dropout=lora.dropout, rslora=lora.rslora, target_modules=tuple(lora.target_modules)),
        optimizer=optimizer_settings(config),
        max_steps=plan.max_steps,
        warmup_steps=plan.warmup_steps,
        effective_batch_size=config.optim.effective_batch_size,
        stop_at_step=stop,
    )


def optimizer_settings(config: "Config") -> "OptimizerSettings":
    """Return what either engine reads of `config.optim`."""
    from persona_exp.training.hyperparameters import OptimizerSettings

    optim = config.optim
    return OptimizerSettings(
        name=optim.name,
        lr=optim.lr,
        lr_schedule=optim.schedule,
        weight_decay=optim.weight_decay,
        beta1=optim.beta1,
        beta2=optim.beta2,
        max_grad_norm=optim.max_grad_norm,
        loraplus_lr_ratio=optim.loraplus_lr_ratio,
    )


def step_plan(config: "Config", examples: int, micro_batch_size: int | None) -> "StepPlan":
    """Return how many steps the trial takes, of what; `micro_batch_size` takes the place of the config's."""
    from persona_exp.training.steps_and_micro_batches import plan_steps

    return plan_steps(
        examples=examples,
        epochs=config.train.epochs,
        max_steps=config.train.max_steps,
        effective_batch_size=config.optim.effective_batch_size,
        micro_batch_size=micro_batch_size or config.train.micro_batch_size or config.model.micro_batch_size,
        lr_schedule=config.optim.schedule,
        warmup_ratio=config.optim.warmup_ratio,
        warmup_steps=config.optim.warmup_steps,
    )
