"""The audit of the labels before the first step: how many tokens are supervised, ends of turn among them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.supervised_token_mask import Encoded
    from persona_exp.modeling.tokenised_dataset import TokenisedDataset

# Of the examples that are left out, so many are named.
NAMED = 5


@dataclass(frozen=True)
class LabelReport:
    """Counts over examples: `shortened` lost the start of a user turn to the length limit, `cut` the end of a reply.

    `skipped` more did not fit at all and are left out, the first of them `skipped_examples`.
    """

    examples: int
    tokens: int
    supervised_tokens: int
    end_of_turn_tokens: int
    shortened: int
    cut: int
    skipped: int
    skipped_examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "skipped_examples": list(self.skipped_examples)}

    def sentence(self, what: str = "training examples") -> str:
        """Return it as one sentence."""
        return (
            f"{self.examples} {what}, {self.tokens:,} tokens, {self.supervised_tokens:,} supervised; "
            f"{self.shortened} shortened and {self.cut} cut to fit{self._left_out()}."
        )

    def _left_out(self) -> str:
        if not self.skipped:
            return ""
        more = self.skipped > len(self.skipped_examples)
        return f"; {self.skipped} skipped, which do not fit: {', '.join(self.skipped_examples)}{' …' if more else ''}"


def count_labels(encoded: "TokenisedDataset", skipped: Sequence[str] = ()) -> LabelReport:
    """Return the counts of what is supervised; `skipped` are the names of examples that are left out."""
    rows = encoded.rows
    return LabelReport(
        examples=len(rows),
        tokens=int(rows["length"].sum()),
        supervised_tokens=int(rows["supervised"].sum()),
        end_of_turn_tokens=int(rows["ends"].sum()),
        shortened=int(rows["shortened"].sum()),
        cut=int(rows["cut"].sum()),
        skipped=len(skipped),
        skipped_examples=tuple(dict.fromkeys(skipped))[:NAMED],
    )


def audit_labels(encoded: "TokenisedDataset", skipped: Sequence[str] = ()) -> LabelReport:
    """Return `count_labels`. Raise UserError when nothing is supervised, or when no reply's end is: such a model never stops."""
    report = count_labels(encoded, skipped)
    if not report.supervised_tokens:
        raise UserError("No token of the training examples is supervised: raise train.max_length or check model.chat_template.")
    if not report.end_of_turn_tokens:
        raise UserError(
            "No reply's end-of-turn token is supervised, so the model would never stop: raise train.max_length or check model.end_of_turn."
        )
    return report


def print_labels(encoded: Sequence["Encoded"], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Print examples with their supervised tokens in green and the rest dimmed."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    for number, example in enumerate(encoded, start=1):
        text = Text()
        for token, label in zip(example.input_ids, example.labels, strict=True):
            text.append(str(tokenizer.decode([token])), style="dim" if label == IGNORED_LABEL else "bold green")
        console.rule(f"example {number}: {sum(label != IGNORED_LABEL for label in example.labels)} tokens supervised")
        console.print(text)
