"""Many calls of a language model: in order, each once, kept, within the budget, several at a time."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from persona_exp.errors import UserError
from persona_exp.progress_bar import progress
from persona_exp.teacher import prompts
from persona_exp.teacher.answer_cache import cache_key, load, store
from persona_exp.teacher.draft_checks import reject
from persona_exp.teacher.draft_parsing import drafts_in
from persona_exp.teacher.language_model import Completion, LanguageModel, Messages
from persona_exp.teacher.teacher_interface import Draft, Request
from persona_exp.teacher.token_and_money_budget import Budget, BudgetSpent, estimate


@dataclass(frozen=True)
class TeacherCalls:
    """A language model as teacher. `cache`: the folder that keeps its answers, so that none is asked for twice (None: none is kept);
    `budget`: what it may use; `concurrency`: how many calls may be under way at once."""

    teacher: LanguageModel
    cache: Path | None
    budget: Budget
    concurrency: int


@dataclass(frozen=True)
class Answer:
    """A teacher's answer to a request: the drafts that may be used, and how many were rejected, by reason."""

    request: Request
    drafts: tuple[Draft, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)


def ask_all(calls: TeacherCalls, requests: Sequence[Request]) -> list[Answer]:
    """Return the teacher's checked answer to each of `requests`, in their order, however many calls are under way at once.

    Raise UserError for a task without a prompt, where the budget ends, and where an endpoint refuses or goes on failing; what came
    before is kept then, and after a kill.
    """
    completions = complete_all(calls, [prompts.render(request) for request in requests])
    return [_answer(request, completion) for request, completion in zip(requests, completions, strict=True)]


def check_drafts(request: Request, drafts: Sequence[Draft]) -> Answer:
    """Sort `drafts` into those that may be used and those rejected; one that was there before is "repeated"."""
    accepted: dict[Draft, None] = {}
    rejected: Counter[str] = Counter()
    for draft in drafts:
        reason = "repeated" if draft in accepted else reject(request, draft)
        if reason is None:
            accepted[draft] = None
        else:
            rejected[reason] += 1
    return Answer(request, tuple(accepted), dict(sorted(rejected.items())))


def _answer(request: Request, completion: Completion) -> Answer:
    if completion.finish == "content_filter":
        return Answer(request, (), {"refusal": 1})
    drafts = drafts_in(completion.text, request.count)
    if drafts:
        return check_drafts(request, drafts)
    if drafts is not None:
        return Answer(request, (), {"nothing to say": 1})
    # A refusal in prose is one, and no slip of form.
    spoken = completion.text.rpartition("</think>")[2].strip()
    refused = spoken and reject(request, Draft(request.user or "?", spoken)) == "refusal"
    return Answer(request, (), {"refusal" if refused else "cut off" if completion.finish == "length" else "not in the asked format": 1})


def complete_all(calls: TeacherCalls, conversations: Sequence[Messages]) -> list[Completion]:
    """Return the model's answer to each of `conversations`, in their order; equal ones are asked once. Raise as `ask_all` does."""
    model, cache, budget = calls.teacher, calls.cache, calls.budget
    if calls.concurrency < 1:
        raise UserError(f"teacher.concurrency={calls.concurrency} must be at least 1.")
    settings = model.settings()
    keys = [cache_key(settings, messages) for messages in conversations]
    of_key = dict(zip(keys, conversations, strict=True))
    done: dict[str, Completion] = {}
    if cache is not None:
        done = {key: kept for key in of_key if (kept := load(cache, key)) is not None}
    pending = {key: messages for key, messages in of_key.items() if key not in done}
    if pending:
        print(estimate(f"teacher {model.name}", pending.values(), model.max_output_tokens, len(done), budget), file=sys.stderr, flush=True)
        with progress(f"teacher {model.name}", len(of_key), done=len(done)) as meter:
            try:
                for key, completion in _CallThreads(calls, settings, pending):
                    done[key] = completion
                    meter.advance(note=budget.describe(budget.spent()))
            except BudgetSpent as error:
                where = f"{len(done)} of {len(of_key)} answers are in {cache}" if cache else "nothing is kept, for want of a cache"
                raise BudgetSpent(f"{error} ({where}).") from None
    return [done[key] for key in keys]


class _CallThreads:
    """Threads that call, and the loop that takes their answers.

    They are daemons: Ctrl-C does not wait for a slow endpoint. An answer is written whole before it counts, so that nothing is torn.
    """

    def __init__(self, calls: TeacherCalls, settings: dict[str, Any], pending: Mapping[str, Messages]) -> None:
        self._calls, self._settings = calls, settings
        self._todo: SimpleQueue[tuple[str, Messages]] = SimpleQueue()
        for item in pending.items():
            self._todo.put(item)
        self._results: SimpleQueue[tuple[str, Completion] | BaseException | None] = SimpleQueue()
        self._stop = Event()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(min(calls.concurrency, len(pending)))]

    def __iter__(self) -> "_CallThreads":
        for thread in self._threads:
            thread.start()
        self._running = len(self._threads)
        self._failure: BaseException | None = None
        return self

    def __next__(self) -> tuple[str, Completion]:
        try:
            while self._running:
                result = self._results.get()
                if result is None:
                    self._running -= 1
                elif isinstance(result, BaseException):
                    # The others end the calls that they have begun, which are paid for; the first failure is the one to tell.
                    self._failure = self._failure or result
                    self._stop.set()
                else:
                    return result
        except BaseException:
            self._stop.set()
            raise
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                key, messages = self._todo.get_nowait()
                completion = self._calls.teacher.complete(messages, self._calls.budget, self._stop)
                if self._calls.cache is not None:
                    completion = store(self._calls.cache, key, self._settings, messages, completion)
                self._results.put((key, completion))
        except Empty:
            return  # Nothing is left to ask.
        except BaseException as error:
            self._results.put(error)
        finally:
            self._results.put(None)
