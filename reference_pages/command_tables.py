"""docs/reference/commands.md: each command of persona-exp, from its parser, and of run.py."""

import argparse
from collections.abc import Iterator

from persona_exp.cli.main import command_parser
from reference_pages.markdown_table import markdown_table

INTRODUCTION = """# Commands

<!-- Written by `python -m reference_pages` from the parser of persona-exp. -->

## python run.py

`run.py` trains and evaluates; `persona-exp run` is the same from any folder.
Settings are `KEY=VALUE`, groups `GROUP=OPTION`; [Settings](settings.md) lists them all.

| command | what it does |
|---|---|
| `python run.py SETTINGS` | run one trial, as a sweep of one: with its base rows, a table and figures |
| `python run.py -m SETTINGS` | run a sweep: each combination of the values that commas separate |
| `python run.py -m SETTINGS --dry-run` | say how many trials, bundles and hours that is; on Slurm show the script; run and write nothing |
| `python run.py -m SETTINGS --detach` | the same, and it goes on when the terminal closes; what it writes is in `runs/detached/` |
| `python run.py --cfg job SETTINGS` | print the composed config; run nothing |
| `python run.py --help` | list groups and settings |

Exit code 0: done. 1: something failed. 2: the command is wrong, and nothing ran. 75: stopped, and the same command goes on.
"""
EXIT_CODES = "Exit code 0: done. 1: the answer is no. 2: the command is wrong. 75: stopped."


def commands_page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "## persona-exp\n", f"{command_parser().description}\n", f"{EXIT_CODES}\n"]
    parts.append("Names of sweeps and ids of trials may be cut short, as long as they name one alone.\n")
    commands = list(_commands(command_parser()))
    parts.append(markdown_table(("command", "what it does"), [(f"[`{name}`](#{_anchor(name)})", help_) for name, help_, _ in commands]))
    for name, help_, parser in commands:
        parts += [f"\n### {name}\n", f"{_sentence(parser.description or help_)}\n"]
        parts += [f"    {_usage(name, parser)}\n"]
        rows = [(f"`{_name(action)}`", _help(action)) for action in _actions(parser)]
        if rows:
            parts.append(markdown_table(("argument", "meaning"), rows))
    return "\n".join(parts).rstrip("\n") + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name, help and parser of each command that takes no further verb."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for verb, inner in action.choices.items():
                below = list(_commands(inner))
                yield from below or [(inner.prog.split(" [")[0], said.get(verb, ""), inner)]


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.dest != "help" and action.help != argparse.SUPPRESS]


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    actions = sorted(_actions(parser), key=lambda action: bool(action.option_strings))
    return " ".join([name, *map(_shown, actions)])


def _shown(action: argparse.Action) -> str:
    if action.option_strings:
        return _name(action) if action.required else f"[{_name(action)}]"
    name = _name(action)
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …", "...": f"[{name} …]"}.get(str(action.nargs), name)


def _name(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest
    if not action.option_strings:
        return value.upper()
    if action.nargs == 0:
        return action.option_strings[-1]
    return f"{action.option_strings[-1]} {'{' + ','.join(map(str, action.choices)) + '}' if action.choices else value.upper()}"


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
