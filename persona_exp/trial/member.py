"""One trial of a bundle: what it does for itself, so that its errors are its own."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.training import checkpoint, disk
from persona_exp.trial import stages
from persona_exp.trial.attempt import Attempt
from persona_exp.trial.directory import Directory
from persona_exp.trial.outcome import ended
from persona_exp.trial.resume import CHECKPOINTS, adopt

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.evaluation.subject import Subject
    from persona_exp.modeling.bundle.shared import Shared
    from persona_exp.training.fused.lane import Lane, Step
    from persona_exp.training.fused.recipe import Recipe

WEIGHTS = "adapter_model.safetensors"


class Member:
    """A claimed trial of a bundle, and its lane while it trains; `code` is the exit code once it has ended."""

    lane: "Lane"

    def __init__(self, config: "Config", directory: Directory, data_id: str, attempt: Attempt) -> None:
        self.config, self.directory, self.data_id, self.attempt = config, directory, data_id, attempt
        self.code: int | None = None
        # Of training, its own share.
        self._seconds = 0.0
        self._checkpoints = attempt.folder / CHECKPOINTS

    def end(self, error: BaseException | None = None) -> None:
        """Its last word, unless that was spoken."""
        if self.code is None:
            self.code = ended(self.directory, self.attempt, error)

    def do(self, what: Callable[..., Any], *given: Any) -> bool:
        """Call `what` with what it is given, which concerns this trial alone; whether that went well. Its error ends it and no other."""
        try:
            what(*given)
        except Exception as error:
            self.end(error)
            return False
        return True

    def board(self, number: int, model: Any, model_folder: Path) -> None:
        """Get the lane ready for its first step."""
        from persona_exp.modeling.adapter import check_targets
        from persona_exp.modeling.base import load_tokenizer
        from persona_exp.training.fused.lane import Lane

        print(f"Trial {self.directory.trial_id}:", flush=True)
        tokenizer = load_tokenizer(model_folder, self.config.model.chat_template)
        encoded = stages.encode_examples(self.config, self.data_id, tokenizer, self.attempt)
        check_targets(model, self.config.lora.target_modules)
        self.lane = Lane(number, model, encoded, recipe(self.config, len(encoded)))

    def resume(self, at_most: int | None) -> None:
        """Go on from its newest checkpoint, though none after step `at_most`."""
        found = adopt(self.directory, self.attempt, self.config.train.keep_checkpoints, at_most)
        if found:
            self.lane.load(found)
            print(f"Trial {self.directory.trial_id}: going on from step {self.lane.step} of {self.lane.recipe.max_steps}.", flush=True)
        step = self.lane.step or None
        self.attempt.note(resumed_from_step=step, checkpoint_step=step)
        self.attempt.progress("training", self.lane.step, self.lane.recipe.max_steps)

    def stepped(self, step: "Step", seconds: float) -> None:
        """Log it. Raises Superseded when a later attempt owns the trial."""
        self._seconds += seconds
        line = {**asdict(step), "seconds": round(self._seconds, 3)}
        if step.step % self.config.train.log_steps == 0:
            with (self.attempt.folder / "train.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.attempt.progress("training", step.step, self.lane.recipe.max_steps, step.loss)
        self.attempt.raise_if_superseded()

    def save(self) -> None:
        """Save a checkpoint, unless that step has one."""
        step = self.lane.step
        if not step or checkpoint.place(self._checkpoints, step).is_dir():
            return
        what = f"the checkpoint of step {step}"
        self._checkpoints.mkdir(exist_ok=True)
        # Weights and two moments of each, in float32.
        disk.require(self._checkpoints, 12 * sum(one.numel() for one in self.lane.adapter.parameters()), what)
        staged = self._checkpoints / checkpoint.STAGING / f"checkpoint-{step}"
        self.lane.save(staged)
        keep = self.config.train.keep_checkpoints
        checkpoint.save(staged, self._checkpoints, step=step, keep=keep, run=self.directory.trial_id)
        self.attempt.note(checkpoint_step=step)

    def finished(self) -> None:
        """Publish the adapter."""
        from persona_exp.modeling.adapter import write_adapter
        from persona_exp.modeling.source import published_name

        lora, model = self.config.lora, self.config.model
        staged = self.attempt.staging / "adapter"
        write_adapter(
            self.lane.adapter.tensors(),
            staged,
            published_name(model.source, model.location),
            r=lora.r,
            alpha=lora.alpha,
            dropout=lora.dropout,
            target_modules=lora.target_modules,
            rslora=lora.rslora,
        )
        stages.publish_adapter(staged, self.directory, self.attempt)
        resumed = self.attempt.record.get("resumed_from_step") or 0
        self.attempt.note(training={"steps": self.lane.step, "resumed_from_step": resumed, "seconds": self._seconds})

    def speak(self, shared: "Shared", lane: int, one: stages.Owed, alike: "dict[tuple[Any, ...], list[tuple[Member, Subject]]]") -> None:
        """Have `lane` of the base model speak with the published adapter, and put what is to be measured beside what is measured alike."""
        from safetensors.torch import load_file

        from persona_exp.modeling.bundle.adapter import Adapter, targets

        self.attempt.progress("evaluating")
        self.attempt.raise_if_superseded()
        lora = self.config.lora
        shapes = targets(shared.model, lora.target_modules)
        adapter = Adapter(shapes, r=lora.r, alpha=lora.alpha, dropout=0.0, rslora=lora.rslora, seed=0, device=shared.device)
        adapter.load(load_file(self.directory.adapter / WEIGHTS))
        shared.join(lane, adapter)
        subject = stages.subject_of(self.config, self.directory, self.data_id, self.attempt, one, lane)
        key = (self.config.model.chat_template, stages.evaluation_settings(self.config))
        alike.setdefault(key, []).append((self, subject))

    def failed(self, error: Exception) -> None:
        """It leaves the bundle."""
        self.end(error)


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
    )
