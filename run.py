#!/usr/bin/env python3
"""One trial, or with -m a sweep of them. `python run.py --help` says what can be set; `persona-exp run` is the same from anywhere."""

import sys

from persona_exp.cli.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
