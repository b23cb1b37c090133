"""A study folder: a person's own conf/, books/ and runs/, outside of the repository. `persona-exp init` makes one; MARKER tells it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.project_folders import CONF, SWEEPS

MARKER = "persona-exp.yaml"
# Set by a command for itself and its children: the study that it is in. conf/corpus of a study names its books by it.
STUDY = "PERSONA_EXP_STUDY"
RUNS = "PERSONA_EXP_RUNS"
# Hydra's own flag, and its short form.
FLAGS = ("--config-dir", "-cd")


def study_of(place: Path) -> Path | None:
    """Return the study that `place` is, or lies in: the nearest above; None where there is none."""
    place = place.absolute()
    return next((folder for folder in (place, *place.parents) if (folder / MARKER).is_file()), None)


def asked_study(conf: Path | None) -> Path | None:
    """Return the study whose conf/ is `conf`, the value of --config-dir; without one, the study that this process stands in.

    Raise UserError where `conf` is no folder, or an option there has the name of one of the project's.
    """
    if conf is None:
        return study_of(Path.cwd())
    if not conf.is_dir():
        raise UserError(f"--config-dir={conf} is no folder: name the conf/ of a study (`persona-exp init DIR` makes one).")
    if (conf / MARKER).is_file():
        raise UserError(f"--config-dir={conf} is the study itself: name its conf/, as in --config-dir={conf / 'conf'}.")
    refuse_shadowing(conf)
    folder = conf.absolute().parent
    return folder if (folder / MARKER).is_file() else study_of(Path.cwd())


def split_config_dir(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the value of --config-dir, absolute, and the other arguments. Raise UserError where it is given twice or without a value."""
    values, others, left = list[str](), list[str](), iter(arguments)
    for one in left:
        flag, equals, value = one.partition("=")
        if flag not in FLAGS:
            others.append(one)
        else:
            values.append(value if equals else next(left, ""))
    if len(values) > 1 or "" in values:
        raise UserError("--config-dir takes one folder, the conf/ of a study, and is given once.")
    return (Path(values[0]).expanduser().absolute() if values else None), others


@contextmanager
def in_study(study: Path | None) -> Iterator[None]:
    """Let this process, and what it starts, use the study's conf/ and keep results in its runs/, unless $PERSONA_EXP_RUNS says where."""
    before = {name: os.environ.get(name) for name in (STUDY, RUNS)}
    os.environ.pop(STUDY, None)
    if study:
        os.environ[STUDY] = str(study)
        os.environ[RUNS] = before[RUNS] or str(study / "runs")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def study_conf() -> Path | None:
    """Return the conf/ of the study that this process works in; None outside of one, or where the study has none.

    Raise UserError where an option there has the name of one of the project's.
    """
    study = os.environ.get(STUDY)
    conf = Path(study) / "conf" if study else None
    if conf is None or not conf.is_dir():
        return None
    refuse_shadowing(conf)
    return conf


def refuse_shadowing(conf: Path) -> None:
    """Raise UserError where an option in `conf` has the name of one of the project's: Hydra would take the project's, and say nothing."""
    if conf.resolve() == CONF.resolve():
        return
    for name in sorted(path.relative_to(conf).as_posix() for path in conf.rglob("*.yaml")):
        if (CONF / name).is_file() or ((SWEEPS.parent / name).is_file() and name.startswith("sweeps/")):
            other = Path(name).with_name(f"my_{Path(name).name}")
            raise UserError(f"{conf / name} has the name of an option of the project's own: call it {other}, say, and choose it by that.")
