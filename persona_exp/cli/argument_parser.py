"""The parser of `persona-exp`: a word that it does not know is one sentence, with the word that was meant."""

import argparse
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from persona_exp.cli.refusal import print_refusal
from persona_exp.config.close_name import did_you_mean


class SentenceParser(argparse.ArgumentParser):
    """argparse's parser, which says in one sentence what is wrong with the words of a command."""

    # The namespace may be of any class, as argparse's own overloads say.
    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """Return the namespace and no word more: end the program with 2 where one is left over."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0] if unknown[0].startswith("-") else unknown[0]
            options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            if not word.startswith("-"):
                self._refuse(f"`{self.prog}` takes no further word, and {word} is one: leave it out, or see `{self.prog} --help`.")
            self._refuse(f"`{self.prog}` has no option {word}: it has {', '.join(options)}{did_you_mean(word, options)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End the program with 2 and what is wrong with its words."""
        if unknown := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            choices = [one.strip("' ") for one in unknown[3].split(",")]
            what = "command" if unknown[1].isupper() else f"{unknown[1]}"
            self._refuse(f"There is no {what} {unknown[2]}: choose one of {', '.join(choices)}{did_you_mean(unknown[2], choices)}")
        if missing := re.fullmatch(r"the following arguments are required: (.*)", message):
            self._refuse(f"`{self.prog}` needs {missing[1]}: `{self.prog} --help` says what that is.")
        super().error(message)

    def _refuse(self, sentence: str) -> NoReturn:
        raise SystemExit(print_refusal(sentence))
