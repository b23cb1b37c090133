"""The parser of `persona-exp`: a command that there is not is one sentence with the one that was meant."""

import argparse
import re
from typing import NoReturn

from persona_exp.config.close_name import did_you_mean


class SentenceParser(argparse.ArgumentParser):
    """argparse's parser, which says in one sentence which word it does not know."""

    def error(self, message: str) -> NoReturn:
        """End the program with 2 and what is wrong with its words."""
        unknown = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if unknown is None:
            super().error(message)
        choices = [one.strip("' ") for one in unknown[3].split(",")]
        what = "command" if unknown[1].isupper() else f"{unknown[1]}"
        self.exit(2, f"error: There is no {what} {unknown[2]}: choose one of {', '.join(choices)}{did_you_mean(unknown[2], choices)}\n")
