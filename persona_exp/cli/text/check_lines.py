"""Checks of a site or a model as lines: mark, name, finding, fix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_exp.cli.text.escaped_output import coloured_output
from persona_exp.cli.text.sentence_lines import sentence_lines
from persona_exp.cli.text.text_table import terminal_width

if TYPE_CHECKING:
    from persona_exp.launch.check_result import Check


def print_checks(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=coloured_output(), soft_wrap=True, highlight=False)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    width = max(len(check.name) for check in checks)
    indent = " " * (width + 8)
    for check in checks:
        found = f"{check.found} → {check.fix}" if check.fix else check.found
        first, *others = sentence_lines(f"{indent}{found}", terminal_width(), indent)
        console.print(Text.assemble((f"{check.mark:<4}", colours[check.mark]), f"  {check.name:<{width}}  {first.lstrip(' ')}"))
        for line in others:
            console.print(Text(line))
