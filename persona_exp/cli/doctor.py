"""`persona-exp doctor [KEY=VALUE…]`: is this site fit for a sweep?"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_exp.launch.site import Check


def add_commands(nouns: Any) -> None:
    """Add the verb `doctor`."""
    doctor = nouns.add_parser("doctor", help="check a site: Slurm, GPU, kernels, disks, caches")
    doctor.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for run.py: cluster=h100 model=qwen3-32b")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    """The exit code is 1 where something failed; warnings do not count."""
    checks = examine(arguments.overrides)
    if not arguments.json:
        _print(checks)
    failed = any(check.mark == "fail" for check in checks)
    return int(failed), {"fit": not failed, "checks": [asdict(check) for check in checks]}


def examine(overrides: Sequence[str]) -> "list[Check]":
    """Every check for the config that `overrides` give, Slurm's beside the others, for its commands may keep one waiting."""
    from concurrent.futures import ThreadPoolExecutor

    from persona_exp.cli.compose import compose_config
    from persona_exp.launch.options import SlurmOptions, for_sbatch
    from persona_exp.launch.site import check_disks, check_gpu, check_slurm

    config = compose_config(overrides)
    with ThreadPoolExecutor() as pool:
        parts = [
            pool.submit(check_slurm, config.cluster, for_sbatch(SlurmOptions(), config.cluster)),
            pool.submit(check_gpu, config),
            pool.submit(check_disks, config),
        ]
        return [check for part in parts for check in part.result()]


def _print(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        fix = f" → {check.fix}" if check.fix else ""
        line = Text.assemble((f"{check.mark:<4}", colours[check.mark]), f"  {check.name:<{width}}  {check.found}{fix}")
        console.print(line)
