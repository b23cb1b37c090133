"""Composing the trials of a sweep: our grid against Hydra's own sweeper.

    python benchmarks/compose_latency.py --json [--trials 100] [--repeats 3]

Hydra's basic sweeper composes each trial twice: once to check that the batch is legal, once in the launcher. The default of 100
trials is the smallest size at which the one-time cost of reading conf/ no longer shows.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from persona_exp.config.compose import register_schema  # noqa: E402
from persona_exp.search.grid import grid  # noqa: E402


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    register_schema()
    line = f"lora.r=range(1,{arguments.trials + 1})"
    ours, baseline = [], []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        for _ in range(arguments.repeats):
            ours.append(_seconds(lambda: _ours(line, loader)))
            baseline.append(_seconds(lambda: _hydra(line, loader)))
    result = {
        "name": "compose",
        "setting": {"trials": arguments.trials, "repeats": arguments.repeats, "override": line},
        "ours": statistics.median(ours),
        "baseline": statistics.median(baseline),
        "ratio": statistics.median(baseline) / statistics.median(ours),
        "unit": "seconds",
        "n": arguments.repeats,
    }
    print(json.dumps(result, indent=None if arguments.json else 2))


def _ours(line: str, loader: ConfigLoader) -> int:
    _, points = grid([line], config_name="config", hydra_overrides=[], loader=loader)
    return len(points)


def _hydra(line: str, loader: ConfigLoader) -> int:
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([line])
    basic = next(one for one in Plugins.instance().discover(Sweeper) if one.__name__ == "BasicSweeper")
    (batch,) = basic.split_arguments(overrides, max_batch_size=None)
    for _ in ("is it legal?", "launch it"):
        for job in batch:
            loader.load_configuration("config", list(job), run_mode=RunMode.RUN)
    return len(batch)


def _seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
