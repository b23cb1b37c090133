"""`persona-exp export SWEEP DEST`: one sweep as a folder, or a .tar.gz, that another site can read."""

import argparse
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep
from persona_exp.cli.comparison_facts import trial_facts
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.sweep_status import SweepStatus, sweep_statuses
from persona_exp.cli.text.units import disk_size, plural
from persona_exp.errors import UserError

SUMS = "SHA256SUMS"
ARCHIVES = (".tar.gz", ".tgz")

# What only the run itself needs: the largest part of a trial, what was on its way, and what is made again from the data beside it.
LEFT_OUT = ("checkpoints", "checkpoints-aside", "staging", "fenced", "tokens", "__pycache__")
# What says how this site ran it: jobs and processes that another site knows nothing of.
SITE = ("submissions", "holds", "hold.json")

CHUNK_BYTES = 1 << 20


def add_commands(nouns: Any) -> None:
    """Add the verb `export`."""
    export = nouns.add_parser("export", help="one sweep as a folder or a .tar.gz that another site can read")
    export.add_argument("sweep", help="a sweep's name or the beginning of one")
    export.add_argument("destination", type=Path, metavar="DEST", help="a folder that is not there yet, or a file NAME.tar.gz")
    export.add_argument("--json", action="store_true", help="print JSON")
    export.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    (sweep,) = sweep_statuses(runs, [find_sweep(runs, arguments.sweep)])
    answer = export(runs, sweep, arguments.destination)
    if not arguments.json:
        print(f"{sweep.name}: {plural(answer['files'], 'file')}, {disk_size(answer['bytes'])} in {answer['destination']}")
        if answer["unfinished"]:
            print(f"{plural(len(answer['unfinished']), 'trial')} of it had not finished and went along as they are.")
        if not answer["archive"]:
            print(f"To read it: PERSONA_EXP_RUNS={answer['destination']} persona-exp status")
    return 0, answer


def export(runs: Path, sweep: SweepStatus, destination: Path) -> dict[str, Any]:
    """Write the sweep to `destination`; return what was written. Raise UserError where something is there already."""
    if destination.exists():
        raise UserError(f"{destination} is there already; remove it or name another.")
    archive = destination.name.endswith(ARCHIVES)
    files = list(_exported_files(runs, sweep))
    unfinished = [trial.trial_id for trial, state in sweep.rows if state.status != "finished"]
    staged = destination.with_name(f".{destination.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        root = destination.name.partition(".tar")[0].partition(".tgz")[0]
        sums = _into_archive(staged, root, files, sweep) if archive else _into_folder(staged, files, sweep)
        staged.rename(destination)
    finally:
        shutil.rmtree(staged, ignore_errors=True) if staged.is_dir() else staged.unlink(missing_ok=True)
    total = sum(path.stat().st_size for path, _ in files)
    answer = {"sweep": sweep.name, "destination": str(destination), "archive": archive, "files": len(sums), "bytes": total}
    return {**answer, "unfinished": unfinished}


def _exported_files(runs: Path, sweep: SweepStatus) -> Iterator[tuple[Path, str]]:
    """Yield the files to take along with their paths below DEST: the sweep, its trials, their data and code."""
    trial_ids = dict.fromkeys(trial.trial_id for trial in sweep.trials)
    facts = [trial_facts(runs, trial_id) for trial_id in trial_ids]
    folders = [sweep.folder, *(runs / "trials" / one for one in trial_ids)]
    folders += [runs / "data" / one for one in dict.fromkeys(fact.data_id for fact in facts) if one]
    folders += [runs / "code" / one for one in dict.fromkeys(Path(fact.code["folder"]).name for fact in facts)]
    for folder in folders:
        leave = SITE if folder == sweep.folder else ()
        yield from ((path, path.relative_to(runs).as_posix()) for path in _files(folder, leave))


def _files(folder: Path, leave: Sequence[str]) -> Iterator[Path]:
    for current, names, found in os.walk(folder):
        below = Path(current)
        top = below == folder
        names[:] = sorted(one for one in names if one not in LEFT_OUT and not one.startswith(".") and not (top and one in leave))
        names[:] = [one for one in names if not one.startswith("fenced-")]
        yield from (below / one for one in sorted(found) if not one.startswith(".") and not (top and one in leave))


def _into_folder(staged: Path, files: Sequence[tuple[Path, str]], sweep: SweepStatus) -> dict[str, str]:
    def write(name: str, chunks: Iterator[bytes]) -> None:
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(chunks)

    return _write_all(
        files, sweep, lambda path, name: _digested(path, lambda chunks: write(name, chunks)), lambda name, text: write(name, iter([text]))
    )


def _into_archive(staged: Path, root: str, files: Sequence[tuple[Path, str]], sweep: SweepStatus) -> dict[str, str]:
    with tarfile.open(staged, "w:gz", compresslevel=3) as tar:

        def add(path: Path, name: str) -> str:
            # Read once for both: a report written anew in between would not be what was summed.
            content = path.read_bytes() if path.stat().st_size < CHUNK_BYTES else None
            if content is None:
                tar.add(path, f"{root}/{name}")
                return _digested(path, lambda chunks: [None for _ in chunks])
            _add_text(tar, f"{root}/{name}", content)
            return hashlib.sha256(content).hexdigest()

        return _write_all(files, sweep, add, lambda name, text: _add_text(tar, f"{root}/{name}", text))


def _write_all(
    files: Sequence[tuple[Path, str]], sweep: SweepStatus, take: Callable[[Path, str], str], write: Callable[[str, bytes], None]
) -> dict[str, str]:
    """Take every file along, then the README and the sums of all; return their SHA-256 by path."""
    from persona_exp.progress_bar import progress

    sums = {}
    with progress("Exporting", len(files)) as meter:
        for path, name in files:
            sums[name] = take(path, name)
            meter.advance()
    readme = _readme(sweep).encode()
    write("README.md", readme)
    sums["README.md"] = hashlib.sha256(readme).hexdigest()
    write(SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode())
    return sums


def _digested(path: Path, use: Callable[[Iterator[bytes]], object]) -> str:
    """Return the SHA-256 of the bytes that `use` was given, read once."""
    found = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                found.update(chunk)
                yield chunk

    use(chunks())
    return found.hexdigest()


def _add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def _readme(sweep: SweepStatus) -> str:
    name = sweep.name
    counts = ", ".join(f"{count} {status}" for status, count in sweep.counts.items())
    return (
        f"# {name}\n\n"
        f"A sweep of persona-exp, made by `{sweep.command}` on {sweep.created[:10]} ({plural(len(sweep.states), 'trial')}: "
        f"{counts}). `sweeps/{name}/` holds what was asked and the report; `trials/` each trial's sealed config, attempts, adapter and "
        "evaluations, without checkpoints; `data/` the datasets they read; `code/` the code they ran, uncommitted changes with it. With "
        "persona-exp installed and `PERSONA_EXP_RUNS` set to this folder, `persona-exp status` and `persona-exp show` read it, and "
        f"`python -m analysis.report {'sweeps/' + name}` makes the tables anew; `sha256sum --check --quiet {SUMS}` tells whether every "
        "file is as it left.\n"
    )
