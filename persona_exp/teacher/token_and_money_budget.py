"""A limit on tokens and money that holds: room for a call is taken before it is made, and what it did not use is given back."""

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from types import TracebackType

from filelock import FileLock

from persona_exp.atomic_files import make_folder, write_json
from persona_exp.errors import UserError

# What chat templates put around one message, and some in front of the first (today's date, a default system turn).
TOKENS_PER_MESSAGE = 16
TOKENS_PER_CONVERSATION = 64
BYTES_PER_TOKEN = 4  # Of English, in the tokenizers in use; for the estimate alone.


class BudgetSpent(UserError):
    """The next call might exceed the limit."""


@dataclass(frozen=True)
class Spent:
    """Calls made, and tokens used or reserved for calls under way."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens

    def plus(self, calls: int, input_tokens: int, output_tokens: int) -> "Spent":
        """Return the sum with that much more."""
        return Spent(self.calls + calls, self.input_tokens + input_tokens, self.output_tokens + output_tokens)


def most_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return no fewer tokens than any tokenizer in use makes of `messages`: one stands for a byte at least, in byte-level BPE and in
    SentencePiece with byte fallback alike. Four times what English takes; the difference is given back after the call."""
    return TOKENS_PER_CONVERSATION + sum(TOKENS_PER_MESSAGE + len(message["content"].encode()) for message in messages)


def likely_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return about how many tokens English `messages` take."""
    return sum(TOKENS_PER_MESSAGE + len(message["content"].encode()) // BYTES_PER_TOKEN for message in messages)


def fewest_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return no more tokens than `messages` take: tokenizers in use cut at blanks."""
    return sum(len(message["content"].split()) for message in messages)


class Budget:
    """At most `max_tokens` tokens and `max_cost` money (None: no limit), the prices being per million tokens in the same money.

    `ledger` is the file that remembers what is spent, so that the limit holds over all runs, and processes at once, that share it: give
    one to each build. Without it this object alone remembers. Prices are applied when read: the file holds tokens.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        input_price_per_million: float = 0.0,
        output_price_per_million: float = 0.0,
        ledger: Path | None = None,
    ) -> None:
        if max_tokens is not None and max_tokens <= 0:
            raise UserError(f"teacher.max_total_tokens={max_tokens} must be positive, or null for no limit.")
        if max_cost is not None and max_cost <= 0:
            raise UserError(f"teacher.max_cost={max_cost} must be positive, or null for no limit.")
        if min(input_price_per_million, output_price_per_million) < 0:
            raise UserError("teacher.input_price_per_million and teacher.output_price_per_million must not be negative.")
        if max_cost is not None and not (input_price_per_million or output_price_per_million):
            raise UserError("teacher.max_cost needs teacher.input_price_per_million and teacher.output_price_per_million.")
        self.max_tokens, self.max_cost, self.ledger = max_tokens, max_cost, ledger
        self._prices = input_price_per_million, output_price_per_million
        self._changed = Condition()
        self._between_processes = nullcontext() if ledger is None else FileLock(ledger.with_suffix(".lock"))
        self._memory = Spent()
        self._given_back = Spent()  # Settled, but not yet in the ledger: written with the next reservation.
        self._open = 0

    def spent(self) -> Spent:
        """Return what is used or reserved now, earlier runs included."""
        with self._changed:
            return self._read()

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of that many tokens."""
        return (input_tokens * self._prices[0] + output_tokens * self._prices[1]) / 1e6

    def exceeded_by(self, spent: Spent) -> bool:
        """Return whether `spent` is beyond a limit."""
        too_many = self.max_tokens is not None and spent.tokens > self.max_tokens
        return too_many or (self.max_cost is not None and self.cost(spent.input_tokens, spent.output_tokens) > self.max_cost)

    def reserve(self, input_tokens: int, output_tokens: int) -> "Reservation":
        """Take room for one call that uses no more than that.

        Wait for calls under way to give back what they do not need. Raise BudgetSpent where there is no room then.
        """
        with self._changed:
            while not self._take(input_tokens, output_tokens):
                if not self._open:
                    raise BudgetSpent(self._refusal(input_tokens + output_tokens))
                self._changed.wait()
            self._open += 1
        return Reservation(self, input_tokens, output_tokens)

    def close(self, calls: int, input_tokens: int, output_tokens: int) -> None:
        """End a call that leaves that much of its reservation (negative: took more)."""
        with self._changed:
            self._open -= 1
            self._given_back = self._given_back.plus(-calls, -input_tokens, -output_tokens)
            if not self._open:
                self._take(0, 0, calls=0, anyway=True)
            self._changed.notify_all()

    def describe(self, spent: Spent) -> str:
        """Return `12,000 of 50,000 tokens, 0.42 of 1.00 in cost`."""
        limit = "" if self.max_tokens is None else f" of {self.max_tokens:,}"
        text = f"{spent.tokens:,}{limit} tokens"
        if any(self._prices):
            limit = "" if self.max_cost is None else f" of {self.max_cost:,.2f}"
            text += f", {self.cost(spent.input_tokens, spent.output_tokens):,.2f}{limit} in cost"
        return text

    def _take(self, input_tokens: int, output_tokens: int, calls: int = 1, anyway: bool = False) -> bool:
        if self.ledger is not None:
            make_folder(self.ledger.parent)
        with self._between_processes:
            back = self._given_back
            after = self._read_file().plus(back.calls + calls, back.input_tokens + input_tokens, back.output_tokens + output_tokens)
            if self.exceeded_by(after) and not anyway:
                return False
            if self.ledger is None:
                self._memory = after
            else:
                write_json(self.ledger, vars(after))
            self._given_back = Spent()
        return True

    def _read(self) -> Spent:
        back = self._given_back
        return self._read_file().plus(back.calls, back.input_tokens, back.output_tokens)

    def _read_file(self) -> Spent:
        if self.ledger is None or not self.ledger.exists():
            return self._memory
        try:
            held = json.loads(self.ledger.read_text(encoding="utf-8"))
            numbers = {name: held[name] for name in vars(Spent())}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.ledger} does not say what the teacher has spent: delete it to count from nothing.") from error
        if not all(type(number) is int for number in numbers.values()):
            raise UserError(f"{self.ledger} does not say what the teacher has spent: delete it to count from nothing.")
        return Spent(**numbers)

    def _refusal(self, tokens: int) -> str:
        return (
            f"The teacher has spent {self.describe(self._read())}, and the next call may take {tokens:,} tokens more: "
            f"raise {self.what_to_raise()}, and what is answered is not asked again"
        )

    def what_to_raise(self) -> str:
        """Return the settings that limit."""
        limits = {"teacher.max_total_tokens": self.max_tokens, "teacher.max_cost": self.max_cost}
        return " or ".join(f"{name} (now {limit})" for name, limit in limits.items() if limit is not None)


class Reservation:
    """Room for one call. Spent in full unless `settle` or `release` says otherwise before its `with` block ends: the server may have
    counted a call whose answer never came."""

    def __init__(self, budget: Budget, input_tokens: int, output_tokens: int) -> None:
        self._budget, self._input, self._output = budget, input_tokens, output_tokens
        self._left = (0, 0, 0)

    def settle(self, input_tokens: int | None, output_tokens: int | None) -> None:
        """Count that many tokens as used by the call; what is None stays as reserved."""
        used_input = self._input if input_tokens is None else input_tokens
        used_output = self._output if output_tokens is None else output_tokens
        self._left = (0, self._input - used_input, self._output - used_output)

    def release(self) -> None:
        """Count nothing: the call was never made, or refused before any work."""
        self._left = (1, self._input, self._output)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._budget.close(*self._left)


def estimate(name: str, prompts: Iterable[Iterable[Mapping[str, str]]], max_output_tokens: int, cached: int, budget: Budget) -> str:
    """Return in one line what sending `prompts` will take. Raise BudgetSpent where even the fewest tokens possible are too many.

    The most that it can take is shown but not refused: the budget itself stops in time, and most answers are far shorter.
    """
    lists = [list(messages) for messages in prompts]
    fewest, likely, most = (sum(map(count, lists)) for count in (fewest_tokens, likely_tokens, most_tokens))
    output = len(lists) * max_output_tokens
    spent = budget.spent()
    line = (
        f"{name}: {len(lists):,} calls ({cached:,} more are cached), about {likely:,} tokens in (at most {most:,}), at most {output:,} out"
    )
    if budget.cost(1, 1):
        line += f", about {budget.cost(likely, output / 2):,.2f} in cost (at most {budget.cost(most, output):,.2f})"
    line += f"; spent so far: {budget.describe(spent)}"
    if budget.exceeded_by(spent.plus(len(lists), fewest, 0)):
        raise BudgetSpent(
            f"{line}, which is too little for the {fewest:,} tokens that the prompts have at least: raise {budget.what_to_raise()}, "
            "or ask for less."
        )
    if budget.exceeded_by(spent.plus(len(lists), likely, output // 2)):
        line += "; the budget may end before the calls do"
    return line
