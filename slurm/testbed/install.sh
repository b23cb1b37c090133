#!/usr/bin/env bash
# usage: install.sh [--check]    installs Debian's Slurm packages for cluster.sh; with --check it only says whether they are there
# exit codes: 0 they are there; 3 they cannot be had here, and one sentence on stdout says why
set -euo pipefail
readonly PACKAGES=(slurm-wlm slurmctld slurmd slurmdbd slurm-client munge mariadb-server) CANNOT=3
PATH=$PATH:/usr/sbin:/sbin

missing() {
  local program
  for program in slurmctld slurmd slurmdbd munged mariadbd sbatch srun squeue sacct scontrol; do
    command -v "$program" >/dev/null || echo "$program"
  done
}

cannot() {
  echo "The Slurm testbed cannot run here: $1."
  exit $CANNOT
}

absent=$(missing | paste -sd ' ')
[ -n "$absent" ] || exit 0
[ "${1:-}" != --check ] || cannot "$absent not installed (bash slurm/testbed/install.sh installs Debian's packages)"
command -v apt-get >/dev/null || cannot "$absent not installed, and there is no apt-get to install Debian's packages with"
[ "$(id -u)" = 0 ] || cannot "$absent not installed, and installing needs root (sudo bash slurm/testbed/install.sh)"

# No daemon of the packages is to start by itself: cluster.sh has configurations and ports of its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}"; } >"$log" 2>&1 </dev/null ||
  cannot "apt-get could not install ${PACKAGES[*]}: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
rm -f "$log"
absent=$(missing | paste -sd ' ')
[ -z "$absent" ] || cannot "Debian's packages bring no $absent"
