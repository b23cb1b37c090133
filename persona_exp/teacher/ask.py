"""Asking a teacher many things: in order, each once, kept, within the budget, several at a time."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from persona_exp.errors import UserError
from persona_exp.progress import progress
from persona_exp.teacher import prompts
from persona_exp.teacher.budget import Budget, BudgetSpent, estimate
from persona_exp.teacher.cache import cache_key, load, store
from persona_exp.teacher.checks import reject
from persona_exp.teacher.completion import Completion, LanguageModel, Messages
from persona_exp.teacher.drafts import drafts_in
from persona_exp.teacher.request import Draft, Request, Teacher


@dataclass(frozen=True)
class Answer:
    """What a teacher answered to a request: the drafts that may be used, and how many were rejected, by reason."""

    request: Request
    drafts: tuple[Draft, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)


def ask_all(teacher: Teacher, requests: Sequence[Request], *, cache: Path | None, budget: Budget, concurrency: int) -> list[Answer]:
    """The teacher's checked answer to each of `requests`, in their order, whatever the `concurrency`.

    What a language model answers is kept in the folder `cache` (None: not at all) and never asked again; other teachers, which cost
    nothing, neither read nor write it. UserError for a task that the teacher does not know, where the budget ends, and where an
    endpoint refuses or goes on failing; what came before is kept then, and after a kill.
    """
    unknown = sorted({request.task for request in requests} - teacher.tasks)
    if unknown:
        able = ", ".join(sorted(teacher.tasks))
        raise UserError(f"teacher={teacher.name} cannot write {', '.join(unknown)} examples, only {able}: choose another teacher or mix.")
    if isinstance(teacher, LanguageModel):
        asked = [prompts.render(request) for request in requests]
        completions = complete_all(teacher, asked, cache=cache, budget=budget, concurrency=concurrency)
        return [_read(request, completion) for request, completion in zip(requests, completions, strict=True)]
    answers = []
    with progress(f"teacher {teacher.name}", len(requests)) as meter:
        for request in requests:
            answers.append(check(request, teacher.drafts(request)))
            meter.advance()
    return answers


def check(request: Request, drafts: Sequence[Draft]) -> Answer:
    """`drafts` sorted into those that may be used and those rejected; one that was there before is "repeated"."""
    accepted: dict[Draft, None] = {}
    rejected: Counter[str] = Counter()
    for draft in drafts:
        reason = "repeated" if draft in accepted else reject(request, draft)
        if reason is None:
            accepted[draft] = None
        else:
            rejected[reason] += 1
    return Answer(request, tuple(accepted), dict(sorted(rejected.items())))


def _read(request: Request, completion: Completion) -> Answer:
    if completion.finish == "content_filter":
        return Answer(request, (), {"refusal": 1})
    drafts = drafts_in(completion.text, request.count)
    if drafts:
        return check(request, drafts)
    if drafts is not None:
        return Answer(request, (), {"nothing to say": 1})
    # A refusal in prose is one, and no slip of form.
    spoken = completion.text.rpartition("</think>")[2].strip()
    refused = spoken and reject(request, Draft(request.user or "?", spoken)) == "refusal"
    return Answer(request, (), {"refusal" if refused else "cut off" if completion.finish == "length" else "not in the asked format": 1})


def complete_all(
    model: LanguageModel, conversations: Sequence[Messages], *, cache: Path | None, budget: Budget, concurrency: int
) -> list[Completion]:
    """The model's answer to each of `conversations`, in their order; equal ones are asked once. See `ask_all`."""
    if concurrency < 1:
        raise UserError(f"teacher.concurrency={concurrency} must be at least 1.")
    settings = model.settings()
    keys = [cache_key(settings, messages) for messages in conversations]
    of_key = dict(zip(keys, conversations, strict=True))
    done: dict[str, Completion] = {}
    if cache is not None:
        done = {key: kept for key in of_key if (kept := load(cache, key)) is not None}
    waiting = {key: messages for key, messages in of_key.items() if key not in done}
    if waiting:
        print(estimate(f"teacher {model.name}", waiting.values(), model.max_output_tokens, len(done), budget), file=sys.stderr, flush=True)
        with progress(f"teacher {model.name}", len(of_key), done=len(done)) as meter:
            try:
                for key, completion in _Asking(model, settings, waiting, cache, budget, concurrency):
                    done[key] = completion
                    meter.advance(note=budget.describe(budget.spent()))
            except BudgetSpent as error:
                where = f"{len(done)} of {len(of_key)} answers are in {cache}" if cache else "nothing is kept, for want of a cache"
                raise BudgetSpent(f"{error} ({where}).") from None
    return [done[key] for key in keys]


class _Asking:
    """Threads that ask, and the loop that takes what they bring.

    They are daemons: Ctrl-C does not wait for a slow endpoint. An answer is written whole before it counts, so that nothing is torn.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: Mapping[str, object],
        waiting: Mapping[str, Messages],
        cache: Path | None,
        budget: Budget,
        concurrency: int,
    ) -> None:
        self._model, self._settings, self._cache, self._budget = model, dict(settings), cache, budget
        self._todo: SimpleQueue[tuple[str, Messages]] = SimpleQueue()
        for item in waiting.items():
            self._todo.put(item)
        self._results: SimpleQueue[tuple[str, Completion] | BaseException | None] = SimpleQueue()
        self._stop = Event()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(min(concurrency, len(waiting)))]

    def __iter__(self) -> "_Asking":
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
                completion = self._model.complete(messages, self._budget, self._stop)
                if self._cache is not None:
                    completion = store(self._cache, key, self._settings, messages, completion)
                self._results.put((key, completion))
        except Empty:
            return  # Nothing is left to ask.
        except BaseException as error:
            self._results.put(error)
        finally:
            self._results.put(None)
