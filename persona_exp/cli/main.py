"""`persona-exp COMMAND …`: all that the project does; `persona-exp run` is what run.py is."""

import argparse
import os
import sys
from typing import TextIO, cast

from persona_exp.cli.argument_parser import SentenceParser
from persona_exp.cli.commands import (
    cancel,
    clean,
    clone,
    corpus,
    data,
    diff,
    doctor,
    export,
    forget,
    init,
    logs,
    model,
    replies,
    retry,
    run,
    search,
    show,
    status,
    stop,
    sync,
    why,
)
from persona_exp.cli.refusal import print_refusal, refusal
from persona_exp.cli.text.escaped_output import EscapedOutput
from persona_exp.errors import UserError
from persona_exp.indented_json import indented_json
from persona_exp.study_folder import asked_study, in_study, split_config_dir

# In the order in which --help lists them: beginning, training, reading, steering, keeping, then models, books and datasets.
COMMANDS = (
    init,
    run,
    status,
    show,
    replies,
    search,
    why,
    logs,
    diff,
    clone,
    stop,
    cancel,
    retry,
    sync,
    export,
    forget,
    clean,
    doctor,
    model,
    data,
    corpus,
)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = SentenceParser(prog="persona-exp", description="Sweeps, trials, datasets and books of persona experiments.")
    nouns = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_commands(nouns)
    parser.add_argument("--config-dir", metavar="DIR/conf", help="the study to work in, from outside of it")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 1 the answer is no (an audit that found leaks), 2 usage, 75 stopped."""
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        # Hydra's flag may stand anywhere on its command line; so may ours.
        conf, given = split_config_dir(typed)
        if given[:1] == ["run"]:
            return run.run_as("persona-exp", [*([f"--config-dir={conf}"] if conf else []), *given[1:]])
        study = asked_study(conf)
        if conf and study != conf.parent:
            raise UserError(f"--config-dir={conf} is of no study: name the conf/ of one (`persona-exp init DIR` makes it).")
    except UserError as error:
        return print_refusal(str(error))
    parsed = command_parser().parse_args(given)
    plain, sys.stdout = sys.stdout, cast(TextIO, EscapedOutput(sys.stdout))
    try:
        with in_study(study):
            code, answer = parsed.run(parsed)
        if parsed.json:
            print(indented_json(answer))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough (`| head`); nothing is to be written to it any more, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        sentence = refusal(error)
        if sentence is None:
            raise
        return print_refusal(sentence)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from what is done.", file=sys.stderr)
        return 75
    finally:
        sys.stdout = plain
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
