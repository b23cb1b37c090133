"""`persona-exp export SWEEP DEST`: one sweep as a folder, or a .tar.gz, that another site can read."""

import argparse
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from persona_exp.cli.abbreviated_names import find_sweep
from persona_exp.cli.comparison_facts import trial_facts
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.sweep_status import SweepStatus, sweep_statuses
from persona_exp.cli.text.units import disk_size
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.trial.code_provenance import foreign_files
from persona_exp.trial.folder_ids import without_links

SUMS = "SHA256SUMS"
SHOWN = 3
ARCHIVES = (".tar.gz", ".tgz")

# What only the run itself needs: the largest part of a trial, what was on its way, and what is made again from the data beside it.
LEFT_OUT = ("checkpoints", "checkpoints-aside", "staging", "fenced", "tokens", "__pycache__")
# What says how this site ran it: jobs and processes that another site knows nothing of.
SITE = ("submissions", "holds", "hold.json")

CHUNK_BYTES = 1 << 20


@dataclass
class Selection:
    """The files to take along, each with its path below DEST, and what is left out: links, no files, named oddly, none of the code."""

    files: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


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
        print(f"{sweep.name}: {counted(answer['files'], 'file')}, {disk_size(answer['bytes'])} in {answer['destination']}")
        if answer["unfinished"]:
            unfinished = counted(len(answer["unfinished"]), "trial")
            print(f"{unfinished} of it had not finished; whatever there is went along.")
        if answer["left_out"]:
            shown = ", ".join(map(repr, answer["left_out"][:SHOWN])) + (", …" if len(answer["left_out"]) > SHOWN else "")
            print(f"Of links and other things that are no files of the sweep's {len(answer['left_out'])} stayed behind: {shown}.")
        if not answer["archive"]:
            print(f"To read it: PERSONA_EXP_RUNS={answer['destination']} persona-exp status")
    return 0, answer


def export(runs: Path, sweep: SweepStatus, destination: Path) -> dict[str, Any]:
    """Write the sweep to `destination`; return what was written. Raise UserError where something is there already.

    Only what lies below runs/ without a link on its way is taken along: a folder that others prepared can name nothing else.
    """
    if sweep.damaged_files and not sweep.trials:
        raise UserError(sweep.damaged_files[0])
    if destination.exists() or destination.is_symlink():
        raise UserError(f"{destination} is there already; remove it or name another.")
    archive = destination.name.endswith(ARCHIVES)
    selection = _selection(runs, sweep)
    files = selection.files
    unfinished = [trial.trial_id for trial, state in sweep.rows if state.status != "finished"]
    staged = destination.with_name(f".{destination.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        root = destination.name.partition(".tar")[0].partition(".tgz")[0]
        sums = _into_archive(staged, root, files, sweep) if archive else _into_folder(staged, files, sweep)
        staged.rename(destination)
    finally:
        shutil.rmtree(staged, ignore_errors=True) if staged.is_dir() else staged.unlink(missing_ok=True)
    total = sum(path.lstat().st_size for path, _ in files)
    answer = {"sweep": sweep.name, "destination": str(destination), "archive": archive, "files": len(sums), "bytes": total}
    return {**answer, "unfinished": unfinished, "left_out": selection.left_out}


def _selection(runs: Path, sweep: SweepStatus) -> Selection:
    """Return what is to be taken along: the sweep, its trials, their data and code."""
    trial_ids = dict.fromkeys(trial.trial_id for trial in sweep.trials)
    facts = [trial_facts(runs, trial_id, damaged=True) for trial_id in trial_ids]
    folders = [sweep.folder, *(runs / "trials" / one for one in trial_ids)]
    folders += [runs / "data" / one for one in dict.fromkeys(fact.data_id for fact in facts) if one]
    folders += [runs / "code" / one for one in dict.fromkeys(Path(fact.code["folder"]).name for fact in facts)]
    selection = Selection()
    for folder in folders:
        name = folder.relative_to(runs).as_posix()
        if len(folder.relative_to(runs).parts) != 2 or not without_links(runs, folder):
            selection.left_out.append(name)
            continue
        # Python would run it where the code is started, at this site or another.
        foreign = {folder / one for one in foreign_files(folder)} if folder.parent == runs / "code" else set()
        for path in _files(folder, SITE if folder == sweep.folder else ()):
            name = path.relative_to(runs).as_posix()
            # A name with a line break in it would be a line of its own in SHA256SUMS.
            if path not in foreign and stat.S_ISREG(path.lstat().st_mode) and name.isprintable() and "\\" not in name:
                selection.files.append((path, name))
            else:
                selection.left_out.append(name)
    return selection


def _files(folder: Path, leave: Sequence[str]) -> Iterator[Path]:
    """Yield what lies below `folder`, links to folders among it, which are not followed."""
    for current, names, found in os.walk(folder):
        below = Path(current)
        top = below == folder
        names[:] = sorted(one for one in names if one not in LEFT_OUT and not one.startswith(".") and not (top and one in leave))
        names[:] = [one for one in names if not one.startswith("fenced-")]
        linked = [one for one in names if (below / one).is_symlink()]
        yield from (below / one for one in sorted([*found, *linked]) if not one.startswith(".") and not (top and one in leave))


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
            with _opened(path) as file:
                entry, digested = tarfile.TarInfo(f"{root}/{name}"), _DigestedFile(file)
                entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o644
                tar.addfile(entry, digested)  # type: ignore[arg-type]
            return digested.found.hexdigest()

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
        with _opened(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                found.update(chunk)
                yield chunk

    use(chunks())
    return found.hexdigest()


def _opened(path: Path) -> BinaryIO:
    """Return the file, opened for reading. Raise UserError where a link or something else has taken its place since it was listed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"{path} cannot be exported ({os.strerror(error.errno or 0)}): see what it is, and export again.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is no plain file any more: see what it is, and export again.")
    return os.fdopen(descriptor, "rb")


class _DigestedFile:
    """A file whose bytes are summed as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self.found, self._file = hashlib.sha256(), file

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.found.update(content)
        return content


def _add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def _readme(sweep: SweepStatus) -> str:
    name = sweep.name
    counts = ", ".join(f"{count} {status}" for status, count in sweep.counts.items())
    return (
        f"# {name}\n\n"
        f"A sweep of persona-exp, made by `{sweep.command}` on {sweep.created[:10]} ({counted(len(sweep.states), 'trial')}: "
        f"{counts}). `sweeps/{name}/` holds what was asked and the report; `trials/` each trial's sealed config, attempts, adapter and "
        "evaluations, without checkpoints; `data/` the datasets they read; `code/` the code they ran, uncommitted changes with it. With "
        "persona-exp installed and `PERSONA_EXP_RUNS` set to this folder, `persona-exp status` and `persona-exp show` read it, and "
        f"`python -m analysis.report {'sweeps/' + name}` makes the tables anew; `sha256sum --check --quiet {SUMS}` tells whether every "
        "file is as it left.\n"
    )
