"""Resources that the training of each trial of a bundle took: its share by tokens, for the attempt's record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from persona_exp.trial.energy_counters import device_energy
from persona_exp.trial.gpu_peak_flops import peak_flops
from persona_exp.trial.peak_memory import forget_peak_memory, peak_memory_bytes
from persona_exp.trial.training_throughput import TrainingTotals, bundle_record, flops_per_token, multiplied_weights, training_record

if TYPE_CHECKING:
    from persona_exp.training.fused.row_length_probe import RowLengthProbe
    from persona_exp.training.fused.slot import BundleStep, OptimizerStep, ValidationResult


class DeviceMeter:
    """What all trials of a bundle share: a base model, and the device that computes it."""

    def __init__(self, model: Any, gpu: str | None) -> None:
        """`gpu` is its name, None of a processor."""
        self.flops_per_token = flops_per_token(multiplied_weights(model), frozen=True)
        self.peak_flops = peak_flops(gpu)
        self._energy = device_energy()
        self._step: BundleStep | None = None
        self._before = self._energy.joules()
        self._joules: float | None = None
        self._peak = 0
        self._aside = 0
        self.probe: RowLengthProbe | None = None
        forget_peak_memory()

    def peak_memory_bytes(self) -> int:
        """Return the most at once that training took until now."""
        self._peak = max(self._peak, peak_memory_bytes())
        return self._peak

    def joules(self, step: "BundleStep") -> float | None:
        """Return what the device took for the newest step, and since the one before; None where it is not known."""
        if step is not self._step:
            now = self._energy.joules()
            self._joules = None if now is None or self._before is None else now - self._before
            self._step, self._before = step, now
        return self._joules

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count neither energy nor memory of this block for a step."""
        if not self._aside:
            self.peak_memory_bytes()
        self._aside += 1
        try:
            yield
        finally:
            self._aside -= 1
            self.skip()
            forget_peak_memory()

    def skip(self) -> None:
        """Count the energy that the device took until now for no step."""
        self._before = self._energy.joules()


class ResourceAccount:
    """Of one trial."""

    def __init__(self, meter: DeviceMeter) -> None:
        self.seconds = 0.0
        self._meter = meter
        self._tokens = self._supervised = 0
        self._joules: float | None = 0.0
        self._validating = 0.0
        self._bundle: dict[str, Any] = {"trials": 0, "row_tokens": 0, "steps": 0, "tokens": 0, "seconds": 0.0}

    @property
    def spent(self) -> float:
        """Seconds of its steps and validations."""
        return self.seconds + self._validating

    def add(self, step: "OptimizerStep", bundle_step: "BundleStep") -> None:
        """Count a step that was a part of `bundle_step`."""
        share, joules, bundle = step.tokens / bundle_step.tokens, self._meter.joules(bundle_step), self._bundle
        self.seconds += bundle_step.seconds * share
        self._tokens += step.tokens
        self._supervised += step.supervised_tokens
        self._joules = None if joules is None or self._joules is None else self._joules + joules * share
        bundle["trials"], bundle["row_tokens"] = max(bundle["trials"], bundle_step.slots), bundle_step.row_tokens
        bundle["steps"] += 1
        bundle["tokens"] += bundle_step.tokens
        bundle["seconds"] += bundle_step.seconds

    def add_validation(self, result: "ValidationResult") -> None:
        """Count a validation, whose seconds are no step's."""
        self._validating += result.seconds
        self._meter.skip()

    def record(self, step: int, resumed_from_step: int) -> dict[str, Any]:
        """Return what its attempt's record says, when the trial has come to `step`."""
        return training_record(
            TrainingTotals(step, resumed_from_step, self.seconds, self._tokens, self._supervised),
            flops_per_token=self._meter.flops_per_token,
            peak_flops=self._meter.peak_flops,
            peak_memory_bytes=self._meter.peak_memory_bytes(),
            energy_joules=self._joules,
            validation_seconds=self._validating or None,
            bundle=bundle_record(**self._bundle, probe=asdict(self._meter.probe) if self._meter.probe else None),
        )
