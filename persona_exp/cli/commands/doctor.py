"""`persona-exp doctor [KEY=VALUE…]`: is this site fit for a sweep?"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from persona_exp.cli.text.check_lines import print_checks

if TYPE_CHECKING:
    from persona_exp.launch.check_result import Check


def add_commands(nouns: Any) -> None:
    """Add the verb `doctor`."""
    doctor = nouns.add_parser("doctor", help="check a site: Slurm, GPU, kernels, disks, caches")
    doctor.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for run.py: cluster=h100 model=qwen3-32b")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    """Run the checks; return exit code 1 where one failed; warnings do not count."""
    checks = examine(arguments.overrides)
    if not arguments.json:
        print_checks(checks)
    failed = any(check.mark == "fail" for check in checks)
    return int(failed), {"fit": not failed, "checks": [asdict(check) for check in checks]}


def examine(overrides: Sequence[str]) -> "list[Check]":
    """Return every check for the config that `overrides` give; Slurm's run beside the others, since its commands may be slow."""
    from concurrent.futures import ThreadPoolExecutor

    from persona_exp.cli.config_from_overrides import compose_config
    from persona_exp.launch.doctor_checks import check_disks, check_gpu, check_slurm
    from persona_exp.launch.exported_options import with_exported_options
    from persona_exp.launch.launcher_options import SlurmOptions, sbatch_options

    config = compose_config(overrides)
    options = sbatch_options(with_exported_options(SlurmOptions(), overrides), config.cluster)
    with ThreadPoolExecutor() as pool:
        parts = [
            pool.submit(check_slurm, config.cluster, options),
            pool.submit(check_gpu, config),
            pool.submit(check_disks, config),
        ]
        return [check for part in parts for check in part.result()]
