"""How Python starts on a copy of the code: none of it is imported before the whole folder was found to be what its name says.

A module of that name in the folder, a `sitecustomize.py` or a compiled file, would else run first. The check is handed to Python as text,
by a parent that was verified or by a script that Slurm keeps.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

# The exit code where the folder is not what was sealed; sysexits' "remote error in protocol", which nothing else here has.
CODE_CHANGED = 76

# Only what comes with Python. `-I` has left out the working directory, PYTHONPATH and the user's own packages; the last two come back.
CHECK = """\
import hashlib, json, os, runpy, site, sys
folder, module = sys.argv[1], sys.argv[2]
found = {}
for place, names, files in os.walk(folder):
    links = [name for name in names if os.path.islink(os.path.join(place, name))]
    for path in (os.path.join(place, name) for name in files + links):
        name = os.path.relpath(path, folder).replace(os.sep, "/")
        plain = os.path.isfile(path) and not os.path.islink(path)
        if name != "origin.json":
            found[name] = hashlib.sha256(open(path, "rb").read()).hexdigest() if plain else "no plain file"
text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
if not hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest().startswith(os.path.basename(folder)):
    print(f"error: the code in {folder} is not what was sealed: delete it and give the command again.", file=sys.stderr)
    sys.exit(76)
if os.environ.get("PYTHONUNBUFFERED"):
    sys.stdout.reconfigure(line_buffering=True)
own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
sys.path[:0] = [folder, *(one for one in own if one and one != folder)]
if sys.prefix == sys.base_prefix and not os.environ.get("PYTHONNOUSERSITE") and os.path.isdir(site.getusersitepackages()):
    site.addsitedir(site.getusersitepackages())
sys.argv = sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

# In a script, where the check would hide the command.
VARIABLE = "PERSONA_EXP_CHECK"
# Nothing is written beside the code, so that the folder stays what it is.
NO_COMPILED_FILES = {"PYTHONDONTWRITEBYTECODE": "1"}


def verified_start(python: str, code: Path, module: str) -> list[str]:
    """Return the command that runs `module` of the folder `code`, named after its digest, once that is verified; arguments follow."""
    return [python, "-I", "-B", "-c", CHECK, str(code.absolute()), module]


def verified_start_in_script(python: str, code: Path, module: str, arguments: Sequence[str]) -> str:
    """Return the same as a line of a script in which VARIABLE holds CHECK."""
    return f'{shlex.join([python, "-I", "-B", "-c"])} "${VARIABLE}" {shlex.join([str(code.absolute()), module, *arguments])}'
