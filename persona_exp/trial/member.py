"""One trial of a bundle: what it does for itself, so that its errors are its own."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.training import checkpoint, disk
from persona_exp.trial import stages
from persona_exp.trial.account import Account, Meter
from persona_exp.trial.attempt import Attempt, Cancelled
from persona_exp.trial.directory import Directory
from persona_exp.trial.outcome import ended
from persona_exp.trial.recipe import recipe
from persona_exp.trial.resume import CHECKPOINTS, Tick, adopt, step_at

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.evaluation.subject import Subject
    from persona_exp.modeling.bundle.adapter import Adapter
    from persona_exp.modeling.bundle.shared import Shared
    from persona_exp.training.fused.lane import Lane, Step
    from persona_exp.training.fused.rider import Look
    from persona_exp.training.fused.rider import Tick as BundleTick
    from persona_exp.training.tracking import Tracker

WEIGHTS = "adapter_model.safetensors"
# What trackers are sent of a step.
CURVES = ("loss", "grad_norm", "learning_rate", "epoch")


class Member:
    """A claimed trial of a bundle, its number `number`, and its lane while it trains; `code` is the exit code once it has ended."""

    lane: "Lane"

    def __init__(self, number: int, config: "Config", directory: Directory, data_id: str, attempt: Attempt) -> None:
        self.number, self.config, self.directory, self.data_id, self.attempt = number, config, directory, data_id, attempt
        self.code: int | None = None
        self.companions: dict[str, None] = {}
        # Of the process's time, its share around training.
        self.seconds_around = 0.0
        self.account: Account | None = None
        self._bundle, self._step = "", 0
        self._tracker: Tracker | None = None
        self._checkpoints = attempt.folder / CHECKPOINTS

    @property
    def trains(self) -> bool:
        return self.config.method.name != "none" and not self.directory.adapter.is_dir()

    def end(self, error: BaseException | None = None) -> None:
        """Its last word, unless that was spoken."""
        if self.code is not None:
            return
        if self.account:
            self._note_training()
        self.attempt.note(own_seconds=round(self.seconds_around + (self.account.spent if self.account else 0.0), 1))
        self.code = ended(self.directory, self.attempt, error)
        self.left()
        if self._tracker:
            try:
                self._tracker.close(self.code)
            except Exception as failure:
                print(f"The tracker of trial {self.directory.trial_id} could not be closed: {failure}", file=sys.stderr, flush=True)

    def left(self) -> None:
        """Its place is another's: nothing of its lane stays in memory."""
        self.__dict__.pop("lane", None)

    def do(self, what: Callable[..., Any], *given: Any) -> bool:
        """Call `what` with what it is given, which concerns this trial alone; whether that went well. Its error ends it and no other."""
        try:
            what(*given)
        except Exception as error:
            self.end(error)
            return False
        return True

    def travel(self, companions: Sequence["Member"], dequantised: bool) -> None:
        """Note who rides with it now, beside those before, and how the base model is computed for all of them."""
        self.companions |= {one.directory.trial_id: None for one in companions if one is not self}
        together = 1 + sum(one is not self for one in companions)
        self.attempt.note(together_with=list(self.companions), together=together, dequantised=dequantised)

    def prepare(self, model: Any, model_folder: Path, meter: Meter) -> None:
        """Get the lane ready for its first step."""
        from persona_exp.modeling.adapter import check_targets
        from persona_exp.modeling.base import load_tokenizer
        from persona_exp.modeling.bundle.attention import longest_document
        from persona_exp.training.fused.lane import Lane

        print(f"Trial {self.directory.trial_id}:", flush=True)
        tokenizer = load_tokenizer(model_folder, self.config.model.chat_template)
        encoded = stages.encode_examples(self.config, self.data_id, tokenizer, self.attempt)
        check_targets(model, self.config.lora.target_modules)
        validation = stages.validation_of(self.config, self.data_id, tokenizer)
        looked_at = validation.encoded if validation else []
        longest, most = max(len(one.input_ids) for one in (*encoded, *looked_at)), longest_document(model)
        if most and longest > most:
            raise UserError(
                f"An example of {longest} tokens is longer than this model's attention window of {most}, which engine=fused does not "
                f"compute: set train.max_length={most}, or engine=sft."
            )
        self.lane = Lane(self.number, model, encoded, recipe(self.config, len(encoded)), validation)
        self.account = self.account or Account(meter)

    def resume(self, tick: Tick | None = None) -> None:
        """Go on from the checkpoint of that tick, else from the newest."""
        at_most = step_at(self.directory, tick) if tick else None
        found = adopt(self.directory, self.attempt, self.config.train.keep_checkpoints, at_most)
        if found:
            self.lane.load(found)
        if self.lane.step:
            print(f"Trial {self.directory.trial_id}: going on from step {self.lane.step} of {self.lane.recipe.max_steps}.", flush=True)
        step = self.lane.step or None
        if not self.account or not self.account.seconds:
            self.attempt.note(resumed_from_step=step, checkpoint_step=step)
        self.attempt.progress("training", self.lane.step, self.lane.recipe.max_steps)

    def board(self, bundle: str) -> None:
        """Ride in the bundle of that name from now on."""
        from persona_exp.training.tracking import open_tracker

        self._bundle = bundle
        self._tracker = self._tracker or open_tracker(
            self.config.tracker.name,
            run_name=self.directory.trial_id,
            project=self.config.tracker.project,
            folder=self.attempt.folder,
            config=asdict(self.config),
            resumed=self.lane.step > 0,
        )

    def stepped(self, step: "Step", tick: "BundleTick") -> None:
        """Log it. Raises Superseded when a later attempt owns the trial, Cancelled when a person wants it no more."""
        assert self.account
        assert self._tracker
        self._step = step.step
        self.account.add(step, tick)
        if (tick.lanes, tick.row_tokens) != (self.attempt.record.get("together"), self.attempt.record.get("row_tokens")):
            self.attempt.note(together=tick.lanes, row_tokens=tick.row_tokens)
        line = {**asdict(step), "seconds": round(self.account.seconds, 3)}
        if step.step % self.config.train.log_steps == 0:
            with (self.attempt.folder / "train.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self._tracker.log(step.step, {name: line[name] for name in CURVES})
        self.attempt.progress("training", step.step, self.lane.recipe.max_steps, step.loss)
        self.attempt.raise_if_superseded()
        if self.directory.cancelled.exists():
            raise Cancelled("cancelled")

    def looked(self, look: "Look") -> None:
        """Log what it has come to on what it does not learn from."""
        validation, step = self.lane.validation, self.lane.step
        assert validation
        assert self._tracker
        assert self.account
        self.account.looked(look)
        loss = look.loss if math.isfinite(look.loss) else None
        with (self.attempt.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "eval_loss": loss}) + "\n")
        validation.looked(step, look.loss, self.lane.adapter)
        self._tracker.log(step, {"eval_loss": look.loss})

    def due(self, ticks: int, seconds: float) -> bool:
        """Whether it is time for a checkpoint."""
        settings = self.config.train
        return ticks % settings.checkpoint_steps == 0 or seconds > settings.checkpoint_minutes * 60

    def save(self, ticks: int) -> None:
        """Save a checkpoint, unless that step has one."""
        step = self.lane.step
        if checkpoint.place(self._checkpoints, step).is_dir():
            return
        what = f"the checkpoint of step {step}"
        self._checkpoints.mkdir(exist_ok=True)
        # Weights and two moments of each, in float32, and the best weights so far.
        tensors = 3 + (self.lane.validation is not None and self.lane.validation.best is not None)
        disk.require(self._checkpoints, 4 * tensors * sum(one.numel() for one in self.lane.adapter.parameters()), what)
        staged = self._checkpoints / checkpoint.STAGING / f"checkpoint-{step}"
        self.lane.save(staged, bundle=self._bundle, tick=ticks)
        keep = self.config.train.keep_checkpoints
        checkpoint.save(staged, self._checkpoints, step=step, keep=keep, run=self.directory.trial_id)
        self.attempt.note(checkpoint_step=step)

    def finished(self) -> None:
        """Publish the adapter."""
        from persona_exp.modeling.adapter import write_adapter
        from persona_exp.modeling.source import published_name

        self._note_validation()
        lora, model = self.config.lora, self.config.model
        staged = self.attempt.staging / "adapter"
        write_adapter(
            self.lane.result(),
            staged,
            published_name(model.source, model.location),
            r=lora.r,
            alpha=lora.alpha,
            dropout=lora.dropout,
            target_modules=lora.target_modules,
            rslora=lora.rslora,
        )
        stages.publish_adapter(staged, self.directory, self.attempt)
        self._note_training()

    def _note_validation(self) -> None:
        validation, step, of = self.lane.validation, self.lane.step, self.lane.recipe.max_steps
        if validation is None:
            return
        early, best = step < of, validation.best_step
        self.attempt.note(validation={"best_step": best, "best_eval_loss": validation.best_loss, "stopped_early": early})
        if early:
            print(f"Trial {self.directory.trial_id}: stopped early at step {step} of {of}, best at step {best}.", flush=True)

    def _note_training(self) -> None:
        if self.account and self.account.seconds and "training" not in self.attempt.record:
            resumed = self.attempt.record.get("resumed_from_step") or 0
            self.attempt.note(training=self.account.record(self._step, resumed))

    def speak(self, shared: "Shared", one: stages.Owed) -> "Subject":
        """What an owed evaluation measures: the base model, or that with the published adapter on the lane of this number."""
        self.attempt.progress("evaluating")
        self.attempt.raise_if_superseded()
        if self.config.method.name != "none":
            shared.join(self.number, self._published(shared))
        return stages.subject_of(self.config, self.directory, self.data_id, self.attempt, one, self.number)

    def _published(self, shared: "Shared") -> "Adapter":
        from safetensors.torch import load_file

        from persona_exp.modeling.bundle.adapter import Adapter, targets

        lora = self.config.lora
        shapes = targets(shared.model, lora.target_modules)
        adapter = Adapter(shapes, r=lora.r, alpha=lora.alpha, dropout=0.0, rslora=lora.rslora, seed=0, device=shared.device)
        adapter.load(load_file(self.directory.adapter / WEIGHTS))
        return adapter

    def failed(self, error: Exception) -> None:
        """It leaves the bundle."""
        self.end(error)
