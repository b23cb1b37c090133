"""`persona-exp init DIR`: a study folder, for books, characters, sites and sweeps of one's own."""

import argparse
import shlex
import shutil
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.project_folders import PACKAGE, SLURM
from persona_exp.study_folder import MARKER

TEMPLATE = PACKAGE / "cli" / "study_template"
SCRIPTS = ("train.sbatch", "sweep.sbatch", "job.sh")
MARK = "# This file makes its folder a study of persona-exp: what is run here, or below, takes options from conf/ and writes to runs/.\n"


def add_commands(nouns: Any) -> None:
    """Add the verb `init`."""
    init = nouns.add_parser("init", help="make a folder for work of your own: conf/, books/, and a README that says what to type next")
    init.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet, or is empty")
    init.add_argument("--json", action="store_true", help="print JSON")
    init.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    folder = arguments.folder.expanduser()
    make_study(folder)
    if not arguments.json:
        print(f"{folder} is ready. What to type next:\n")
        print(f"  cd {shlex.quote(str(folder))}")
        print("  persona-exp run -m lora.r=4,8 model=tiny train.max_steps=4    # a small sweep, to see that all works\n")
        print("README.md there says how to add a book, a character, a site and a sweep of your own.")
    return 0, {
        "folder": str(folder.absolute()),
        "files": sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()),
    }


def make_study(folder: Path) -> None:
    """Fill `folder` with a study: options with comments, an empty books/, Slurm scripts. Raise UserError where anything is there."""
    if folder.is_symlink() or folder.exists():
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: name one that is not there yet, or is empty.")
        if next(folder.iterdir(), None) is not None:
            raise UserError(f"{folder} is not empty: name a folder that is not there yet, or is empty.")
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True)
    (folder / "books").mkdir()
    (folder / ".gitignore").write_text("runs/\n", encoding="utf-8")
    (folder / "slurm").mkdir()
    for name in SCRIPTS:
        shutil.copyfile(SLURM / name, folder / "slurm" / name)
    # The last, so that what was interrupted is no study.
    (folder / MARKER).write_text(MARK, encoding="utf-8")
