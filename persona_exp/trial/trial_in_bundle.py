"""One trial of a bundle: its slot, logs, checkpoints and results, so that its errors are its own."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.atomic_files import json_line, make_folder
from persona_exp.training import checkpoint, checkpoint_disk_space
from persona_exp.training.experiment_trackers import CURVES
from persona_exp.trial.attempt_claim_and_heartbeat import Cancelled
from persona_exp.trial.attempt_outcome import ended
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.encoded_examples import encode_examples, encode_validation_examples
from persona_exp.trial.engine_selection import refuse_idle_targets, verify
from persona_exp.trial.evaluate_trial import OwedEvaluation, evaluation_target
from persona_exp.trial.given_up import GivenUp, Pruning
from persona_exp.trial.hyperparameters_from_config import hyperparameters
from persona_exp.trial.parent_adapter import WEIGHTS, check_parent
from persona_exp.trial.publish_results import publish_adapter
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.resource_accounting import DeviceMeter, ResourceAccount
from persona_exp.trial.resume_checkpoint import CHECKPOINTS, SavedBundleStep, adopt, step_at
from persona_exp.trial.stopped_trial import stop_at
from persona_exp.trial.tracked_run import close_tracker, last_step, open_trial_tracker
from persona_exp.trial.trial_base_model import base_reference

if TYPE_CHECKING:
    from persona_exp.evaluation.evaluation_target import EvaluationTarget
    from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
    from persona_exp.modeling.multi_lora.shared_model import SharedModel
    from persona_exp.training.experiment_trackers import Tracker
    from persona_exp.training.fused.slot import BundleStep, OptimizerStep, Slot, ValidationResult


class TrialInBundle:
    """A claimed trial of a bundle, its number `number`, and its slot while it is running; `code` is the exit code once it has ended."""

    slot: "Slot"

    def __init__(self, number: int, trial: ClaimedTrial, pruning: Pruning | None = None, successors: list[Path] | None = None) -> None:
        """What it becomes when a person stops it is added to `successors`, as a seal."""
        self._successors = [] if successors is None else successors
        self.number, self.trial, self._pruning = number, trial, pruning
        self.config, self.directory, self.attempt = trial.config, trial.directory, trial.attempt
        self.code: int | None = None
        self.companions: dict[str, None] = {}
        # Of the process's time, its share around training.
        self.seconds_around = 0.0
        self.account: ResourceAccount | None = None
        self._bundle, self._step = "", 0
        self._tracker: Tracker | None = None
        self._checkpoints = trial.attempt.folder / CHECKPOINTS

    @property
    def trains(self) -> bool:
        """Whether it has still to be trained."""
        return self.trial.trains

    def end(self, error: BaseException | None = None) -> None:
        """End its attempt, unless that was done: finished, or as `error` says."""
        if self.code is not None:
            return
        if self.account:
            self._note_training()
        self.attempt.note(own_seconds=round(self.seconds_around + (self.account.spent if self.account else 0.0), 1))
        self.code = ended(self.directory, self.attempt, error)
        self.left()
        if self._tracker:
            close_tracker(self.trial, self._tracker, self.code)

    @property
    def running(self) -> bool:
        """Whether it has a slot."""
        return "slot" in self.__dict__

    def left(self) -> None:
        """Let go of the slot, of which nothing stays in memory."""
        self.__dict__.pop("slot", None)

    def isolated(self, call: Callable[..., Any], *given: Any) -> bool:
        """Call what concerns this trial alone; return whether that went well. An error ends this trial and no other."""
        try:
            call(*given)
        except Exception as error:
            self.end(error)
            return False
        return True

    def record_companions(self, companions: Sequence["TrialInBundle"], dequantised: bool) -> None:
        """Record which trials it trains with now, beside those before, and how the base model is computed for all of them."""
        self.companions |= {one.directory.trial_id: None for one in companions if one is not self}
        together = 1 + sum(one is not self for one in companions)
        self.attempt.note(together_with=list(self.companions), together=together, dequantised=dequantised)

    def prepare(self, model: Any, model_folder: Path, meter: DeviceMeter) -> None:
        """Make the slot ready for its first step."""
        from persona_exp.modeling.lora_targets import check_targets
        from persona_exp.training.fused.slot import Slot

        print(f"Trial {self.directory.trial_id}:", flush=True)
        encoded = encode_examples(self.trial, model_folder)
        check_targets(model, self.config.lora.target_modules)
        verify(model_folder)
        refuse_idle_targets(self.config.lora.target_modules, model_folder)
        early_stopping = encode_validation_examples(self.trial, model_folder)
        self.slot = Slot(self.number, model, encoded, hyperparameters(self.config, len(encoded)), early_stopping)
        self.slot.callbacks = self
        self.account = self.account or ResourceAccount(meter)

    def resume(self, at: SavedBundleStep | None = None) -> None:
        """Resume from the checkpoint of that step of the bundle, else from the newest."""
        at_most = step_at(self.directory, at) if at else None
        found = adopt(self.directory, self.attempt, self.config.train.keep_checkpoints, at_most)
        if found:
            self.slot.load(found)
            # Killed before it could stop.
            if self.directory.stop.exists() and self.slot.step and not self.slot.done:
                self._stop(found)
        elif self.config.lora.init_from:
            self._begin_as_parent()
        if self.slot.step:
            print(
                f"Trial {self.directory.trial_id}: going on from step {self.slot.step} of {self.slot.hyperparameters.last_step}.",
                flush=True,
            )
        step = self.slot.step or None
        if not self.account or not self.account.seconds:
            self.attempt.note(resumed_from_step=step, checkpoint_step=step)
        self.attempt.progress("training", self.slot.step, self.slot.hyperparameters.last_step)

    def _begin_as_parent(self) -> None:
        """Take the weights of the trial's parent. Raise UserError where they are gone, or of another adapter."""
        from safetensors.torch import load_file

        identity = read_provenance(self.directory.runs, self.directory.trial_id)["identity"]
        self.slot.adapter.load(load_file(check_parent(self.directory.runs, identity)))
        print(f"Trial {self.directory.trial_id}: begins with the weights of trial {self.config.lora.init_from}.", flush=True)

    def join(self, bundle: str) -> None:
        """Be part of the bundle of that name from now on."""
        self._bundle = bundle
        self._tracker = self._tracker or open_trial_tracker(self.trial, self.slot.step)

    def stepped(self, step: "OptimizerStep", bundle_step: "BundleStep") -> None:
        """Log the step. Raise Superseded when a later attempt owns the trial, Cancelled or Stopped when a person wants that."""
        assert self.account
        assert self._tracker
        self._step = step.step
        self.account.add(step, bundle_step)
        if (bundle_step.slots, bundle_step.row_tokens) != (self.attempt.record.get("together"), self.attempt.record.get("row_tokens")):
            self.attempt.note(together=bundle_step.slots, row_tokens=bundle_step.row_tokens)
        line = {**asdict(step), "seconds": round(self.account.seconds, 3)}
        if step.step % self.config.train.log_steps == 0:
            with (self.attempt.folder / "train.jsonl").open("a", encoding="utf-8") as file:
                file.write(json_line(line))
            self._tracker.log(step.step, {name: line[name] for name in CURVES})
        self.attempt.progress("training", step.step, self.slot.hyperparameters.last_step, step.loss)
        self.attempt.raise_if_superseded()
        if self.directory.cancelled.exists():
            raise Cancelled("cancelled")
        if self.directory.stop.exists() and not self.slot.done:
            self.save(bundle_step.number)
            self._stop(checkpoint.checkpoint_path(self._checkpoints, step.step))

    def _stop(self, saved: Path) -> None:
        stopped = stop_at(self.trial, self.slot.step, saved)
        self._successors.append(stopped.successor.path)
        raise stopped

    def validated(self, result: "ValidationResult") -> None:
        """Log the validation."""
        early_stopping, step = self.slot.early_stopping, self.slot.step
        assert early_stopping
        assert self._tracker
        assert self.account
        self.account.add_validation(result)
        with (self.attempt.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json_line({"step": step, "eval_loss": result.loss}))
        early_stopping.record(step, result.loss, self.slot.adapter)
        self._tracker.log(step, {"eval_loss": result.loss})

    def given_up(self, bundle_steps: int) -> bool:
        """Return whether its search gives the trial up after its validation: then it is saved, and has ended."""
        if self._pruning is None or self.slot.done:
            return False
        cause = self._pruning.verdict(self.directory.trial_id)
        if cause is None:
            return False
        self.save(bundle_steps)
        self.attempt.note(search=self._pruning.search)
        self.end(GivenUp(cause, self._pruning.search, self.slot.step))
        return True

    def checkpoint_due(self, bundle_steps: int, seconds: float) -> bool:
        """Return whether a checkpoint is due."""
        settings = self.config.train
        return checkpoint.due(bundle_steps, seconds, every_steps=settings.checkpoint_steps, every_minutes=settings.checkpoint_minutes)

    def save(self, bundle_steps: int) -> None:
        """Save a checkpoint, unless that step has one."""
        step = self.slot.step
        if checkpoint.checkpoint_path(self._checkpoints, step).is_dir():
            return
        what = f"the checkpoint of step {step}"
        make_folder(self._checkpoints)
        # Weights and two moments of each, in float32, and the best weights so far.
        tensors = 3 + (self.slot.early_stopping is not None and self.slot.early_stopping.best is not None)
        checkpoint_disk_space.require(self._checkpoints, 4 * tensors * sum(one.numel() for one in self.slot.adapter.parameters()), what)
        staged = self._checkpoints / checkpoint.STAGING / f"checkpoint-{step}"
        self.slot.save(staged, {"bundle": self._bundle, "tick": bundle_steps})
        keep = self.config.train.keep_checkpoints
        checkpoint.save(staged, self._checkpoints, step=step, keep=keep, run=self.directory.trial_id)
        self.attempt.note(checkpoint_step=step)

    def finished(self) -> None:
        """Publish the adapter."""
        from persona_exp.modeling.adapter_files import write_adapter

        self._note_validation()
        lora = self.config.lora
        staged = self.attempt.staging / "adapter"
        write_adapter(
            self.slot.final_adapter(),
            staged,
            base_reference(self.config, self.directory),
            r=lora.r,
            alpha=lora.alpha,
            dropout=lora.dropout,
            target_modules=lora.target_modules,
            rslora=lora.rslora,
        )
        publish_adapter(self.trial, staged)
        self._note_training()

    def _note_validation(self) -> None:
        early_stopping, step, of = self.slot.early_stopping, self.slot.step, self.slot.hyperparameters.last_step
        if early_stopping is None:
            return
        early, best = step < of, early_stopping.best_step
        self.attempt.note(validation={"best_step": best, "best_eval_loss": early_stopping.best_loss, "stopped_early": early})
        if early:
            print(f"Trial {self.directory.trial_id}: stopped early at step {step} of {of}, best at step {best}.", flush=True)

    def _note_training(self) -> None:
        if self.account and self.account.seconds and "training" not in self.attempt.record:
            resumed = self.attempt.record.get("resumed_from_step") or 0
            self.attempt.note(training=self.account.record(self._step, resumed))

    def evaluation_target(self, shared: "SharedModel", one: OwedEvaluation) -> "EvaluationTarget":
        """Return what an owed evaluation measures: the base model, or that with the published adapter in the slot of this number."""
        self.attempt.progress("evaluating")
        self.attempt.raise_if_superseded()
        # Of what was trained before, or is not trained, the figures are sent all the same.
        self._tracker = self._tracker or open_trial_tracker(self.trial, last_step(self.trial))
        if self.config.method.name != "none":
            shared.join(self.number, self._published(shared))
        return evaluation_target(self.trial, one, self.number)

    def _published(self, shared: "SharedModel") -> "Adapter":
        from safetensors.torch import load_file

        from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections

        lora = self.config.lora
        shapes = target_projections(shared.model, lora.target_modules)
        adapter = Adapter(shapes, r=lora.r, alpha=lora.alpha, dropout=0.0, rslora=lora.rslora, seed=0, device=shared.device)
        adapter.load(load_file(self.directory.adapter / WEIGHTS))
        return adapter

    def failed(self, error: Exception) -> None:
        """End the trial with `error`."""
        self.end(error)
