"""A teacher behind any endpoint that speaks OpenAI's chat completions: OpenAI, Mistral, vLLM, llama.cpp, a persona served by ourselves."""

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from threading import Event, Lock
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event, stop_after_attempt, stop_any
from tenacity.stop import stop_when_event_set

from persona_exp.atomic_files import digest
from persona_exp.errors import UserError
from persona_exp.teacher import prompts
from persona_exp.teacher.chat_completions_client import Endpoint, Passing, Refused
from persona_exp.teacher.language_model import Completion, Messages
from persona_exp.teacher.token_and_money_budget import Budget, most_tokens

# How others name what we send, or None where they take it not at all: first what the server's complaint mentions, and then what we do.
DIALECTS = (
    ("max_completion_tokens", "max_tokens", "max_completion_tokens"),  # OpenAI's reasoning models.
    ("temperature", "temperature", None),  # The same.
    ("seed", "seed", "random_seed"),  # Mistral.
    ("random_seed", "random_seed", None),
)
# A complaint about a name, and not about its value.
UNKNOWN = re.compile(r"unsupported|not support|extra|unexpected|unrecogni[sz]ed|unknown|not permitted|not allowed", re.IGNORECASE)


@dataclass(frozen=True)
class Backoff:
    """Waits between attempts: `first_seconds`, doubled each time, or what the server asks for, at most `longest_seconds`."""

    first_seconds: float = 1.0
    longest_seconds: float = 60.0


BACKOFF = Backoff()


class OpenAITeacher:
    """A language model behind an OpenAI-compatible endpoint.

    `base_url` null: `OPENAI_BASE_URL`, else OpenAI itself. The key is in the environment variable `api_key_variable` (null: none is
    sent; over plain HTTP it may be unset). `timeout_seconds` bounds one attempt; up to `retries` more follow, waiting as `backoff`
    has it. `model` must tell models apart: where an endpoint ignores it, as llama.cpp does, call the served model by a name of its own,
    since answers are kept by it and not by address.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_variable: str | None = "OPENAI_API_KEY",
        temperature: float = 0.0,
        max_output_tokens: int = 1024,
        seed: int = 0,
        timeout_seconds: float = 120.0,
        retries: int = 6,
        backoff: Backoff = BACKOFF,
    ) -> None:
        if not model.strip():
            raise UserError("teacher.model must name the model that the endpoint serves.")
        if timeout_seconds <= 0 or max_output_tokens <= 0 or retries < 0:
            raise UserError("teacher.timeout_seconds and teacher.max_output_tokens must be positive, teacher.retries at least 0.")
        self.model, self.max_output_tokens = model, max_output_tokens
        self._temperature, self._seed, self._retries = temperature, seed, retries
        self._backoff = backoff
        self._where = (base_url, api_key_variable, timeout_seconds)
        self._dialect: dict[str, str | None] = {}
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return "openai"

    def settings(self) -> dict[str, Any]:
        """Return model and sampling; not the address, which changes with every job that serves a model on a cluster."""
        return {
            "kind": self.name,
            "model": self.model,
            "temperature": self._temperature,
            "seed": self._seed,
            "max_output_tokens": self.max_output_tokens,
        }

    def identity(self) -> dict[str, Any]:
        """Return `settings` and the prompts."""
        return {**self.settings(), "prompts": prompts.digest()}

    def complete(self, messages: Messages, budget: Budget, stop: Event) -> Completion:
        """Return the model's answer; see `LanguageModel`. Raise UserError where the server refuses, or goes on failing."""
        spread = 0.5 + int(digest(list(map(dict, messages)))[:8], 16) / 2**33  # So that not all come back at once; no random state.

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.asked_wait if isinstance(error, Passing) else None
            return float(
                min(
                    self._backoff.longest_seconds, max(asked or 0.0, spread * self._backoff.first_seconds * 2 ** (state.attempt_number - 1))
                )
            )

        attempts = Retrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_any(stop_after_attempt(self._retries + 1), stop_when_event_set(stop)),
            wait=wait,
            sleep=sleep_using_event(stop),
            reraise=True,
        )
        try:
            return attempts(self._attempt, messages, budget, stop)
        except Passing as error:
            raise UserError(
                f"{self._endpoint.shown} failed {self._retries + 1} times over ({error}): see to it, or raise teacher.retries or "
                "teacher.timeout_seconds, and run the same command again."
            ) from None

    def _attempt(self, messages: Messages, budget: Budget, stop: Event) -> Completion:
        while True:
            dialect = dict(self._dialect)
            try:
                return self._send(self._body(messages, dialect), messages, budget)
            except Refused as refused:
                if stop.is_set() or not self._adapt(dialect, refused):
                    raise self._endpoint.explain(refused, self.model) from None

    def _send(self, body: dict[str, Any], messages: Messages, budget: Budget) -> Completion:
        with budget.reserve(most_tokens(messages), self.max_output_tokens) as reservation:
            try:
                completion = self._endpoint.ask(body)
            except Refused:
                reservation.release()
                raise
            except Passing as passing:
                if passing.unbilled:
                    reservation.release()
                raise
            reservation.settle(completion.input_tokens, completion.output_tokens)
            return completion

    def _body(self, messages: Messages, dialect: dict[str, str | None]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": [dict(message) for message in messages], "stream": False}
        options = {"temperature": self._temperature, "seed": self._seed, "max_tokens": self.max_output_tokens}
        for option, value in options.items():
            name: str | None = option
            while name is not None and name in dialect:
                name = dialect[name]
            if name is not None:
                body[name] = value
        return body

    def _adapt(self, tried: dict[str, str | None], refused: Refused) -> bool:
        """Return whether another way of asking is worth an attempt, after one in the dialect `tried` was refused."""
        if refused.status not in (400, 422) or not UNKNOWN.search(refused.words):
            return False
        with self._lock:
            if tried != self._dialect:  # Another call has found out meanwhile.
                return True
            spoken = {"temperature", "seed", "max_tokens", *filter(None, tried.values())} - set(tried)
            for mentioned, ours, theirs in DIALECTS:
                if mentioned in refused.words and ours in spoken:
                    self._dialect[ours] = theirs
                    does = f"is sent as {theirs}" if theirs else "cannot be set"
                    print(f"{self._endpoint.shown}: {ours} {does} for {self.model}.", file=sys.stderr)
                    return True
        return False

    @cached_property
    def _endpoint(self) -> Endpoint:
        return Endpoint(*self._where)
