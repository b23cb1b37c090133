"""Trials trained together by the fused engine, each with given examples for its steps."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.step_clock import StepClock


def slots_of(
    model: Any,
    trials: Mapping[int, Mapping[str, Any]],
    examples: Sequence[tuple[Sequence[int], Sequence[int]]],
    windows: Sequence[Sequence[int]],
    *,
    targets: Sequence[str],
    dropout: float,
    padded: bool = False,
) -> list[Any]:
    """A slot for each of `trials` (slot number → r, lr, seed). `examples` are token ids and labels, `windows` the examples of each step,
    which a trial takes in an order of its own; `padded`: each is filled up to the longest of its step, with nothing to be learnt."""
    from persona_exp.modeling.multi_lora.row_tensors import Document
    from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL, Encoded
    from persona_exp.training.fused.slot import Slot
    from persona_exp.training.hyperparameters import Hyperparameters, LoraSettings, OptimizerSettings

    encoded = [Encoded(list(ids), list(labels), shortened=False, cut=False) for ids, labels in examples]

    class GivenSteps(Slot):
        """A slot whose steps see given examples."""

        def examples_of(self, step: int) -> list[int]:
            return random.Random(self.hyperparameters.seed).sample(windows, len(windows))[step]

        def documents(self) -> list[Document]:
            own = {n: encoded[n] for n in self.examples_of(self.step)}
            width = max(len(one.input_ids) for one in own.values()) if padded else 0
            return [
                Document(
                    self.number, _filled(one.input_ids, width, one.input_ids[-1]), _filled(one.labels, width, IGNORED_LABEL), self.step, n
                )
                for n, one in own.items()
            ]

    return [
        GivenSteps(
            number,
            model,
            encoded,
            Hyperparameters(
                seed=trial["seed"],
                lora=LoraSettings(trial["r"], 2 * trial["r"], dropout, rslora=False, target_modules=tuple(targets)),
                # The same rate on all sides: their warm-ups differ.
                optimizer=OptimizerSettings("adamw_torch", trial["lr"], "constant", 0.0, 0.9, 0.999, max_grad_norm=1.0),
                max_steps=len(windows),
                warmup_steps=0,
                effective_batch_size=1,
            ),
        )
        for number, trial in trials.items()
    ]


def _filled(numbers: Sequence[int], width: int, filling: int) -> list[int]:
    return [*numbers, *[filling] * (width - len(numbers))]


def watched(model: Any) -> Any:
    """A Shared of `model` that keeps the rows and columns of the largest batch that it trained on, as `largest`."""
    from persona_exp.modeling.multi_lora.shared_model import SharedModel

    class Watched(SharedModel):
        largest = (0, 0)

        def hidden_states(self, row: Any, **named: Any) -> Any:
            self.largest = (1, max(self.largest[1], row.tokens))
            return super().hidden_states(row, **named)

    return Watched(model)


def step(shared: Any, slots: Sequence[Any], row_tokens: int) -> list[Any]:
    """The next step of `slots`, computed together; raises what any of them has come to in its place."""
    from persona_exp.training.fused.bundle_step import bundle_step

    came = list(bundle_step(shared, slots, row_tokens).values())
    for one in came:
        if isinstance(one, Exception):
            raise one
    return came


def train_fused(shared: Any, slots: Sequence[Any], steps: int, row_tokens: int, clock: StepClock) -> None:
    """Train `slots` together for `steps` steps with `clock` running."""
    for slot in slots:
        shared.join(slot.number, slot.adapter)
    clock.begin()
    for _ in range(steps):
        clock.end(sum(one.tokens for one in step(shared, slots, row_tokens)))
    clock.done()
