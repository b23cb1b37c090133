#!/usr/bin/env bash
# usage: setup.sh VENV    makes a virtual environment from requirements.lock with the newest Python >= 3.11 at hand
set -euo pipefail
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

python=
for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
  if [ -n "$name" ] && command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$name
    break
  fi
done
[ -n "$python" ] || { echo "error: no Python 3.11 or newer was found: install one, or name it as in PYTHON=/path/to/python3 make setup." >&2; exit 1; }

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  # Debian and Ubuntu part venv from Python.
  version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq "python$version-venv"
  else
    echo "error: $python cannot make virtual environments: run 'sudo apt-get install python$version-venv' first." >&2
    exit 1
  fi
fi

"$python" -m venv "$venv"
echo "Installing the locked packages into $venv (some minutes the first time)." >&2
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --requirement "$here/requirements.lock"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable "$here"
