"""What the training of each trial of a bundle took: its share by tokens, for the attempt's record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from persona_exp.trial.device import forget_peak_memory, peak_flops, peak_memory_bytes
from persona_exp.trial.energy import device_energy
from persona_exp.trial.throughput import bundle_record, flops_per_token, multiplied_weights, training_record

if TYPE_CHECKING:
    from persona_exp.training.fused.lane import Step
    from persona_exp.training.fused.probe import Probe
    from persona_exp.training.fused.rider import Look, Tick


class Meter:
    """What all trials of a bundle share: a base model, and the device that computes it."""

    def __init__(self, model: Any, gpu: str | None) -> None:
        """`gpu` is its name, None of a processor."""
        self.flops_per_token = flops_per_token(multiplied_weights(model), frozen=True)
        self.peak_flops = peak_flops(gpu)
        self._energy = device_energy()
        self._tick: Tick | None = None
        self._before = self._energy.joules()
        self._joules: float | None = None
        self._peak = 0
        self._aside = 0
        self.probe: Probe | None = None
        forget_peak_memory()

    def peak_memory_bytes(self) -> int:
        """The most at once that training took until now."""
        self._peak = max(self._peak, peak_memory_bytes())
        return self._peak

    def joules(self, tick: "Tick") -> float | None:
        """What the device took for the newest tick, and since the one before; None where it does not tell."""
        if tick is not self._tick:
            now = self._energy.joules()
            self._joules = None if now is None or self._before is None else now - self._before
            self._tick, self._before = tick, now
        return self._joules

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What the device takes within this block is no tick's, neither energy nor memory."""
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
        """The energy that the device took until now is no tick's."""
        self._before = self._energy.joules()


class Account:
    """Of one trial."""

    def __init__(self, meter: Meter) -> None:
        self.seconds = 0.0
        self._meter = meter
        self._tokens = self._supervised = 0
        self._joules: float | None = 0.0
        self._looking = 0.0
        self._bundle: dict[str, Any] = {"trials": 0, "row_tokens": 0, "steps": 0, "tokens": 0, "seconds": 0.0}

    @property
    def spent(self) -> float:
        """Seconds of its steps and looks."""
        return self.seconds + self._looking

    def add(self, step: "Step", tick: "Tick") -> None:
        """Count a step that was taken in `tick`."""
        share, joules, bundle = step.tokens / tick.tokens, self._meter.joules(tick), self._bundle
        self.seconds += tick.seconds * share
        self._tokens += step.tokens
        self._supervised += step.supervised_tokens
        self._joules = None if joules is None or self._joules is None else self._joules + joules * share
        bundle["trials"], bundle["row_tokens"] = max(bundle["trials"], tick.lanes), tick.row_tokens
        bundle["steps"] += 1
        bundle["tokens"] += tick.tokens
        bundle["seconds"] += tick.seconds

    def looked(self, look: "Look") -> None:
        """Count a look at the validation split, whose seconds are no step's."""
        self._looking += look.seconds
        self._meter.skip()

    def record(self, step: int, resumed_from_step: int) -> dict[str, Any]:
        """What its attempt's record says, when the trial has come to `step`."""
        return training_record(
            steps=step,
            resumed_from_step=resumed_from_step,
            seconds=self.seconds,
            tokens=self._tokens,
            supervised_tokens=self._supervised,
            flops_per_token=self._meter.flops_per_token,
            peak_flops=self._meter.peak_flops,
            peak_memory_bytes=self._meter.peak_memory_bytes(),
            energy_joules=self._joules,
            validation_seconds=self._looking or None,
            bundle=bundle_record(**self._bundle, probe=asdict(self._meter.probe) if self._meter.probe else None),
        )
