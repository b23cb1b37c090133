"""The page of replies in a report: some held-out prompts, the true line of each, and what the trials of the sweep say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from persona_exp.control_characters import escaped
from persona_exp.counted_noun import counted, of_number
from persona_exp.trial.generated_replies import ComparedReplies, GeneratedReply, ReplyColumn, ReplyComparison, evenly_spaced

# What a reader can take in. The rest is counted, and `persona-exp replies` shows it.
PROMPTS, COLUMNS = 5, 24


def replies_markdown(compared: ComparedReplies, name: str) -> str:
    """Return the page in Markdown."""
    parts = [f"# Replies of {_plain(name)}"]
    if len(compared.comparisons) > 1:
        parts.append(f"They were measured in {len(compared.comparisons)} ways, which do not compare: each has a part of its own.")
    for one in compared.comparisons:
        parts += _comparison(one, name)
    if compared.left_out:
        parts += ["## Without replies", "\n".join(f"- {_plain(sentence)}" for sentence in compared.left_out)]
    return "\n\n".join(parts) + "\n"


def _comparison(one: ReplyComparison, name: str) -> list[str]:
    shown, columns = evenly_spaced(one.examples, PROMPTS), one.columns[:COLUMNS]
    apart = ", ".join(f"{key}={value}" for key, value in one.apart.items() if key != "split")
    parts = [f"## The {one.split} split" + (f" ({_plain(apart)})" if apart else "")]
    some = f"{len(shown)} of {len(one.examples)} held-out {of_number(len(one.examples), 'prompts')}, at equal distances"
    sentences = [f"{some}; replies are greedy, of {one.most_tokens} tokens at most."]
    if one.not_common:
        sentences.append(f"{counted(one.not_common, 'more prompt', 'is', 'are')} left out: not all of these trials answered them.")
    if len(one.columns) > len(columns):
        left = len(one.columns) - len(columns)
        sentences.append(f"The replies of {counted(left, 'trial')} more are left out here: `persona-exp replies {name}` shows them.")
    parts += [" ".join(sentences), _counts(one.columns)]
    parts += [f"**system prompt**\n\n{_quoted(one.system_prompt)}"] if one.system_prompt else []
    for number, example in enumerate(shown, start=1):
        parts.append(f"### {number}: {_plain(example)}")
        for turn in one.turns(example):
            role = "prompt" if turn["role"] == "user" else _plain(turn["role"])
            parts.append(f"**{role}**\n\n{_quoted(turn['content'])}")
        parts.append(f"**true line**\n\n{_quoted(columns[0].replies[example].true_line)}")
        parts += [_reply(column, column.replies[example]) for column in columns]
    return parts


def _counts(columns: Sequence[ReplyColumn]) -> str:
    lines = ["| trial | id | replies | looping | cut |", "|---|---|---:|---:|---:|"]
    for column in columns:
        counts = " | ".join("not recorded" if one is None else str(one) for one in (column.looping, column.cut))
        lines.append(f"| {_plain(column.title)} | {column.trial_id} | {len(column.replies)} | {counts} |")
    return "\n".join(lines)


def _reply(column: ReplyColumn, reply: GeneratedReply) -> str:
    marks = f" ({', '.join(reply.marks)})" if reply.marks else ""
    return f"**{_plain(column.title)}**{marks}\n\n{_quoted(reply.text)}"


def _quoted(text: str) -> str:
    """Return `text` as a quotation in which nothing is Markdown; each of its lines stays a line."""
    return "\\\n".join(f"> {_plain(line)}" for line in text.split("\n") if line.strip()) or ">"


def _plain(text: str) -> str:
    """Return `text` in one line with each sign that Markdown or HTML reads escaped, and control characters shown."""
    line = re.sub(r"[\\`*_{}\[\]<>#|~&$^]", r"\\\g<0>", " ".join(escaped(text).split()))
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", line)
