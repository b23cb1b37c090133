"""What the fused engine is told of a trial's config."""

from typing import TYPE_CHECKING

from persona_exp.trial import stages

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.training.fused.recipe import Recipe


def recipe(config: "Config", examples: int) -> "Recipe":
    """What the engine reads of a trial's config."""
    from persona_exp.training.fused.recipe import Recipe

    lora, optim = config.lora, config.optim
    schedule = stages.schedule_of(config, examples, None)
    return Recipe(
        seed=config.seed,
        r=lora.r,
        alpha=lora.alpha,
        dropout=lora.dropout,
        rslora=lora.rslora,
        target_modules=tuple(lora.target_modules),
        optimizer=optim.name,
        lr=optim.lr,
        lr_schedule=optim.schedule,
        weight_decay=optim.weight_decay,
        beta1=optim.beta1,
        beta2=optim.beta2,
        max_grad_norm=optim.max_grad_norm,
        max_steps=schedule.max_steps,
        warmup_steps=schedule.warmup_steps,
        effective_batch_size=optim.effective_batch_size,
        loraplus_lr_ratio=optim.loraplus_lr_ratio,
    )
