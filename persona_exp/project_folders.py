"""Where conf/, sweeps/ and slurm/ are: beside the package in the repository and in a copy of the code, inside it where pip installed it."""

from pathlib import Path

PACKAGE = Path(__file__).parent
# What stands in front of Python's path for the package to be imported.
ROOT = PACKAGE.parent


def is_installed(root: Path) -> bool:
    """Return whether the package below `root` was installed from a wheel: `root` is then a user's site-packages, with much else in it."""
    return (root / "persona_exp" / "conf").is_dir()


HOME = PACKAGE if is_installed(ROOT) else ROOT
CONF = HOME / "conf"
SWEEPS = HOME / "sweeps"
SLURM = HOME / "slurm"
# Under runs/, the link to the newest sweep's folder.
LATEST = "latest"
