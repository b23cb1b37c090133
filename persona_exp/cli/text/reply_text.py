"""Replies side by side as text for a terminal of whatever width."""

from collections.abc import Sequence

from rich.cells import cell_len

from persona_exp.cli.listed_evaluations import settings_text
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.terminal_colours import painted
from persona_exp.cli.text.text_table import terminal_width, text_table
from persona_exp.control_characters import escaped
from persona_exp.counted_noun import counted
from persona_exp.trial.generated_replies import ComparedReplies, ReplyColumn, ReplyComparison, evenly_spaced

# Longer lines are hard to read, whatever the terminal has room for.
WIDEST, NARROWEST = 100, 20
INDENT = "    "


def reply_lines(what: str, compared: ComparedReplies, limit: int, trials: int) -> list[str]:
    """Return the lines that show `limit` prompts of each comparison at most, the true line, and the replies of the base models and of
    `trials` trials at most; `what` names the trials."""
    width = int(max(NARROWEST, min(terminal_width(), WIDEST)))
    lines = [painted(one_line(f"Replies of {what}"), "1")] if compared.comparisons else wrapped(f"No replies of {what} are kept.", width)
    if len(compared.comparisons) > 1:
        lines += wrapped(f"They were measured in {len(compared.comparisons)} ways, which do not compare: each stands apart.", width)
    for one in compared.comparisons:
        lines += ["", *_comparison(one, limit, trials, width)]
    if compared.left_out:
        lines += ["", *(line for sentence in compared.left_out for line in wrapped(sentence, width))]
    return lines


def _comparison(one: ReplyComparison, limit: int, trials: int, width: int) -> list[str]:
    columns, shown = one.some_columns(trials), evenly_spaced(one.examples, limit)
    some = counted(len(shown), "prompt") if len(shown) == len(one.examples) else f"{len(shown)} of {counted(len(one.examples), 'prompt')}"
    spaced = "" if len(shown) == len(one.examples) else ", at equal distances"
    head = f"{one.split} split, {some}{spaced}; greedy, at most {one.most_tokens} tokens"
    apart = settings_text({key: value for key, value in one.apart.items() if key not in ("split", "max_new_tokens")})
    lines = wrapped(f"{head}{f'; {apart}' if apart else ''}", width)
    if one.not_common:
        lines += wrapped(f"{counted(one.not_common, 'prompt')} more are left out: not all of these trials answered them.", width)
    header, rows = ["", "trial", "replies", "looping", "cut"], [_counts(column) for column in columns]
    lines += ["", text_table(header, rows, right=(2, 3, 4), widest=max(NARROWEST, width - 25), spare=(1,))]
    if left := len(one.columns) - len(columns):
        more = f"{counted(left, 'more trial')} {'is' if left == 1 else 'are'} not shown: --trials N shows N, at equal distances."
        lines += wrapped(more, width)
    if one.system_prompt:
        lines += ["", painted("system prompt", "1"), *wrapped(one.system_prompt, width, INDENT)]
    for number, example in enumerate(shown, start=1):
        lines += ["", painted(one_line(f"{number} of {len(shown)} · {example}"), "1"), *_prompt(one, columns, example, width)]
    return lines


def _counts(column: ReplyColumn) -> list[str]:
    counts = [str(len(column.replies)), *("not recorded" if one is None else str(one) for one in (column.looping, column.cut))]
    return [f"  {one_line(column.title)}", column.trial_id, *counts]


def _prompt(one: ReplyComparison, columns: Sequence[ReplyColumn], example: str, width: int) -> list[str]:
    lines, turns = [], one.turns(example)
    for turn in turns:
        lines += [f"  {'prompt' if len(turns) == 1 else one_line(turn['role'])}", *wrapped(turn["content"], width, INDENT)]
    lines += [f"  {painted('true line', '32')}", *wrapped(one.columns[0].replies[example].true_line, width, INDENT)]
    for column in columns:
        reply, colour = column.replies[example], "2" if column.is_base else "36"
        marks = f" ({', '.join(reply.marks)})" if reply.marks else ""
        lines += [f"  {painted(line, colour)}" for line in wrapped(f"{column.title}{marks}", width - 2)]
        lines += wrapped(reply.text, width, INDENT)
    return lines


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return `text` in lines of at most `width` columns behind `indent`, its own line breaks kept; control characters are shown, and
    characters of two columns count as two."""
    lines = []
    for paragraph in escaped(text).expandtabs(4).split("\n"):
        line = ""
        for word in paragraph.split(" "):
            for piece in _pieces(word, width - len(indent)):
                if line and cell_len(f"{line} {piece}") > width - len(indent):
                    lines.append(line)
                    line = piece
                else:
                    line = f"{line} {piece}" if line else piece
        lines.append(line)
    return [f"{indent}{line}".rstrip() for line in lines]


def _pieces(word: str, width: int) -> list[str]:
    """Return a word in pieces that fit into `width` columns."""
    pieces, piece = [], ""
    for character in word:
        if piece and cell_len(piece + character) > width:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]
