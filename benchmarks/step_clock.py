"""Seconds of a training run in its parts: what comes before the first step, that step, and the steady ones after it."""

import time


def now() -> float:
    """Seconds, once a GPU has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class StepClock:
    """Made when training is called for. The first step is apart, since it allocates, compiles and warms up; the GPU is waited for after
    it and after the last one alone, so that between them both sides may run ahead of it."""

    def __init__(self) -> None:
        self._made = self._began = self._first = self._last = now()
        self._tokens: list[int] = []

    def begin(self) -> None:
        """The first step begins; later calls do nothing."""
        if not self._tokens:
            self._began = now()

    def end(self, tokens: int) -> None:
        """A step has ended that saw `tokens` tokens, padding left out."""
        self._tokens.append(tokens)
        if len(self._tokens) == 1:
            self._first = self._last = now()

    def done(self) -> None:
        """The last step has ended."""
        self._last = now()

    def parts(self) -> dict[str, float]:
        """Seconds of each part, with the steps and tokens of the run and of its steady steps."""
        return {
            "preparing": self._began - self._made,
            "first_step": self._first - self._began,
            "steady": self._last - self._first,
            "steps": len(self._tokens),
            "tokens": sum(self._tokens),
            "steady_steps": len(self._tokens) - 1,
            "steady_tokens": sum(self._tokens[1:]),
        }
