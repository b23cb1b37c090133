"""Trials trained together by the fused engine, each told which examples its steps see."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.step_clock import StepClock

WARMUP_STEPS = 2


def lanes_of(
    model: Any,
    trials: Mapping[int, Mapping[str, Any]],
    examples: Sequence[tuple[Sequence[int], Sequence[int]]],
    windows: Sequence[Sequence[int]],
    *,
    targets: Sequence[str],
    dropout: float,
    padded: bool = False,
) -> list[Any]:
    """A lane for each of `trials` (lane number → r, lr, seed). `examples` are token ids and labels, `windows` the examples of each step,
    which a trial takes in an order of its own; `padded`: each is filled up to the longest of its step, with nothing to be learnt."""
    from persona_exp.modeling.bundle.row import Document
    from persona_exp.modeling.chat import IGNORED, Encoded
    from persona_exp.training.fused.lane import Lane
    from persona_exp.training.fused.recipe import Recipe

    encoded = [Encoded(list(ids), list(labels), shortened=False, cut=False) for ids, labels in examples]

    class Told(Lane):
        """A lane that is told which examples a step sees."""

        def told(self, step: int) -> list[int]:
            return random.Random(self.recipe.seed).sample(windows, len(windows))[step]

        def window(self) -> list[Document]:
            own = {n: encoded[n] for n in self.told(self.step)}
            width = max(len(one.input_ids) for one in own.values()) if padded else 0
            return [
                Document(self.number, _filled(one.input_ids, width, one.input_ids[-1]), _filled(one.labels, width, IGNORED), self.step, n)
                for n, one in own.items()
            ]

    return [
        Told(
            number,
            model,
            encoded,
            Recipe(
                seed=trial["seed"],
                r=trial["r"],
                alpha=2 * trial["r"],
                dropout=dropout,
                rslora=False,
                target_modules=tuple(targets),
                optimizer="adamw_torch",
                lr=trial["lr"],
                lr_schedule="cosine",
                weight_decay=0.0,
                beta1=0.9,
                beta2=0.999,
                max_grad_norm=1.0,
                max_steps=len(windows),
                warmup_steps=WARMUP_STEPS,
                effective_batch_size=1,
            ),
        )
        for number, trial in trials.items()
    ]


def _filled(numbers: Sequence[int], width: int, filling: int) -> list[int]:
    return [*numbers, *[filling] * (width - len(numbers))]


def watched(model: Any) -> Any:
    """A Shared of `model` that keeps the rows and columns of the largest batch that it trained on, as `largest`."""
    from persona_exp.modeling.bundle.shared import Shared

    class Watched(Shared):
        largest = (0, 0)

        def hidden(self, row: Any, **named: Any) -> Any:
            self.largest = (1, max(self.largest[1], row.tokens))
            return super().hidden(row, **named)

    return Watched(model)


def step(shared: Any, lanes: Sequence[Any], row_tokens: int) -> list[Any]:
    """The next step of `lanes`, computed together; FloatingPointError where one of them has no finite loss."""
    from persona_exp.training.fused.tick import tick

    came = list(tick(shared, lanes, row_tokens).values())
    for one in came:
        if isinstance(one, FloatingPointError):
            raise one
    return came


def train_fused(shared: Any, lanes: Sequence[Any], steps: int, row_tokens: int, clock: StepClock) -> None:
    """Train `lanes` together for `steps` steps on what `clock` will tell."""
    for lane in lanes:
        shared.join(lane.number, lane.adapter)
    clock.begin()
    for _ in range(steps):
        clock.end(sum(one.tokens for one in step(shared, lanes, row_tokens)))
    clock.done()
