"""The audit of what is supervised, before the first step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.chat import Encoded

IGNORED = -100


@dataclass(frozen=True)
class LabelReport:
    """Counts over the training examples; `shortened` lost the start of a user turn to the length limit, `cut` the end of a reply."""

    examples: int
    tokens: int
    supervised_tokens: int
    end_of_turn_tokens: int
    shortened: int
    cut: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.examples} training examples, {self.tokens:,} tokens, {self.supervised_tokens:,} supervised; "
            f"{self.shortened} shortened and {self.cut} cut to fit."
        )


def audit(encoded: Sequence["Encoded"], end_of_turn_id: int) -> LabelReport:
    """Count what is supervised. Raises UserError when that is nothing, or when no reply's end is: such a model never stops."""
    supervised = [[label for label in example.labels if label != IGNORED] for example in encoded]
    report = LabelReport(
        examples=len(encoded),
        tokens=sum(len(example.input_ids) for example in encoded),
        supervised_tokens=sum(len(labels) for labels in supervised),
        end_of_turn_tokens=sum(labels.count(end_of_turn_id) for labels in supervised),
        shortened=sum(example.shortened for example in encoded),
        cut=sum(example.cut for example in encoded),
    )
    if not report.supervised_tokens:
        raise UserError("No token of the training examples is supervised: raise train.max_length or check model.chat_template.")
    if not report.end_of_turn_tokens:
        raise UserError(
            "No reply's end-of-turn token is supervised, so the model would never stop: raise train.max_length or check model.end_of_turn."
        )
    return report


def show(encoded: Sequence["Encoded"], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Print examples with their supervised tokens in green and the rest dimmed."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    for number, example in enumerate(encoded, start=1):
        text = Text()
        for token, label in zip(example.input_ids, example.labels, strict=True):
            text.append(str(tokenizer.decode([token])), style="dim" if label == IGNORED else "bold green")
        console.rule(f"example {number}: {sum(label != IGNORED for label in example.labels)} tokens supervised")
        console.print(text)
