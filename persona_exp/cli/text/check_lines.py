"""Checks of a site or a model as lines: mark, name, finding, fix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_exp.cli.text.escaped_output import coloured_output

if TYPE_CHECKING:
    from persona_exp.launch.check_result import Check


def print_checks(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=coloured_output(), soft_wrap=True, highlight=False)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        fix = f" → {check.fix}" if check.fix else ""
        line = Text.assemble((f"{check.mark:<4}", colours[check.mark]), f"  {check.name:<{width}}  {check.found}{fix}")
        console.print(line)
