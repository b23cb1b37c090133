#!/usr/bin/env python3
"""One trial, or with -m a sweep of them. `python run.py --help` says what can be set."""

import os
import shlex
import sys

import hydra
from omegaconf import DictConfig

from persona_exp.config.compose import register_schema, resolve, sentence
from persona_exp.errors import UserError

register_schema()


def main() -> int:
    """Compose the command line's trial or sweep and run it; the exit code."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra would print its own errors over several lines; raised, they become one sentence here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    composed: list[DictConfig] = []
    compose = hydra.main(config_path="conf", config_name="config", version_base="1.3")(composed.append)
    try:
        compose()
        # Empty after -m, --help and --cfg, which have done their work by now.
        if not composed:
            return 0
        from persona_exp.launch.single import run_single

        return run_single(resolve(composed[0]), command=shlex.join(["python", "run.py", *sys.argv[1:]]))
    except (UserError, hydra.errors.HydraException) as error:
        if wants_traceback:
            raise
        print(f"error: {error if isinstance(error, UserError) else sentence(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if wants_traceback or error.filename is None:
            raise
        print(f"error: {error.filename} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped before anything ran.", file=sys.stderr)
        return 75


if __name__ == "__main__":
    sys.exit(main())
