#!/usr/bin/env bash
# usage: [TORCH=cu126] setup.sh VENV    makes a virtual environment from requirements.lock with the newest Python >= 3.11 at hand
#
# TORCH names another build of the locked torch: cu126 for drivers of CUDA 12, cpu. Its package index is TORCH_INDEX_URL, else pip's own
# settings name one (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, pip config). VENV may be an active conda environment, which is then used as it is.
set -euo pipefail
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

install() {
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check "$@"
}

# The lock's versions; of torch the build that TORCH names.
install_locked() {
  local index=()
  if [ -z "${TORCH:-}" ]; then
    install --requirement "$here/requirements.lock"
    return
  fi
  locked=$(mktemp)
  trap 'rm -f "$locked"' EXIT
  sed -E "s/^(torch==[^ +;]+)/\1+$TORCH/" "$here/requirements.lock" >"$locked"
  [ -z "${TORCH_INDEX_URL:-}" ] || index=(--extra-index-url "$TORCH_INDEX_URL")
  if ! install "${index[@]}" --requirement "$locked"; then
    echo "error: $(sed -nE 's/^(torch==[^ ;]+).*/\1/p' "$locked") could not be installed: give the package index that has this build, as in TORCH_INDEX_URL=https://… make setup TORCH=$TORCH." >&2
    exit 1
  fi
}

case ${TORCH:-} in *[!a-z0-9.]*) echo "error: TORCH=$TORCH is no build of torch: give one as cu126, or cpu." >&2; exit 2 ;; esac

if [ -d "$venv/conda-meta" ]; then
  install_locked
  exit
fi

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
install_locked
install --no-deps --no-build-isolation --editable "$here"
