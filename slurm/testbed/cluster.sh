#!/usr/bin/env bash
# A real Slurm cluster on this machine alone: munged, mariadbd, slurmdbd, slurmctld and some slurmd, without systemd, on loopback.
#
# usage: cluster.sh VERB
#   start | stop [DAEMON [NODE]] | restart [DAEMON [NODE]] | status | clean (stop and forget everything)
#   env                  prints what points sbatch, squeue, … at this cluster:  eval "$(cluster.sh env)"
#   kill DAEMON [NODE]   SIGKILL, as a machine that dies: slurmctld, slurmdbd, slurmd node1, slurmstepd (of all jobs)
#   down NODE, up NODE   as an administrator does it; its jobs end as NODE_FAIL and are requeued
#
# Each cluster lives in a folder, $PERSONA_EXP_TESTBED (~/.cache/persona-exp/testbed), which remembers the settings it was started with:
#   TESTBED_NODES=3 TESTBED_CPUS=8 TESTBED_GPUS=4 (per node, pretended) TESTBED_GPU_TYPE=h100 TESTBED_ACCOUNTING=yes|no
#   TESTBED_PREEMPT_SIGNAL=yes|no (whether a preempted job gets its --signal) TESTBED_GRACE=10 TESTBED_KILL_WAIT=3
#   TESTBED_REQUEUE_WAIT=5 (all in seconds) TESTBED_MAX_ARRAY_SIZE=10001 TESTBED_PORT (the first of some free ones)
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${PERSONA_EXP_TESTBED:-${XDG_CACHE_HOME:-$HOME/.cache}/persona-exp/testbed}
host=$(hostname -s)
settings=(NODES CPUS GPUS GPU_TYPE ACCOUNTING PREEMPT_SIGNAL GRACE KILL_WAIT REQUEUE_WAIT MAX_ARRAY_SIZE PORT)
declare -A defaults=([NODES]=3 [CPUS]=8 [GPUS]=4 [GPU_TYPE]=h100 [ACCOUNTING]=yes [PREEMPT_SIGNAL]=yes [GRACE]=10 [KILL_WAIT]=3
  [REQUEUE_WAIT]=5 [MAX_ARRAY_SIZE]=10001 [PORT]=)

# Nothing of a job or cluster around this one.
for name in $(compgen -e | grep -E '^(SLURM|SBATCH|SRUN|SALLOC|SACCT|SQUEUE|SINFO)_' || true); do unset "$name"; done
export SLURM_CONF=$state/etc/slurm.conf
source "$here/configuration.sh"

die() {
  echo "error: $*" >&2
  exit 1
}

# What was said now, else what was said at the first start, else the default.
read_settings() {
  local name said
  for name in "${settings[@]}"; do
    said=TESTBED_$name
    [ -n "${!said:-}" ] && printf -v "$name" %s "${!said}" && continue
    said=$(sed -n "s/^$name=//p" "$state/settings" 2>/dev/null || true)
    printf -v "$name" %s "${said:-${defaults[$name]}}"
  done
  [ -n "$PORT" ] || PORT=$(free_ports)
}

write_settings() {
  local name
  for name in "${settings[@]}"; do echo "$name=${!name}"; done >"$state/settings"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() {
  local base offset
  for base in $(shuf -i 268-318); do
    for offset in 0 1 2 11 12 13; do ! answers $((base * 100 + offset)) || continue 2; done
    echo $((base * 100)) && return
  done
  die "no free ports between 26800 and 31900: set TESTBED_PORT."
}

# running PIDFILE: prints the daemon's process when it is there. A zombie is not: process 1 of a container may reap them late.
running() {
  local pid stat name
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
  [[ ${stat##*) } != [ZX]* ]] || return 1
  name=${1##*/}
  stat=${stat#*(}
  [ "${stat%%)*}" = "${name%%.*}" ] && echo "$pid"
}

await() { # await SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what did not come up; see $state/log."
    sleep 0.1
  done
}

controller_answers() { running "$state/pid/slurmctld.pid" && scontrol ping | grep -q UP; }
node_works() { sinfo -h -n "$1" -p main -t idle,mix,alloc -o %t | grep -q '[a-z]$'; }
nodes_are_idle() { [ "$(sinfo -h -N -p main -t idle,mix,alloc -o %N | sort -u | wc -l)" -ge "$NODES" ]; }

start() {
  bash "$here/install.sh" --check || exit $?
  mkdir -p "$state"
  write_configuration
  if [ -e "$SLURM_CONF" ] && ! cmp -s "$SLURM_CONF" "$SLURM_CONF.new" && running "$state/pid/slurmctld.pid" >/dev/null; then stop; fi
  mv "$SLURM_CONF.new" "$SLURM_CONF"
  write_settings
  start_munged
  [ "$ACCOUNTING" = no ] || { start_mariadbd && start_slurmdbd; }
  start_slurmctld
  local node
  for ((node = 1; node <= NODES; node++)); do start_slurmd "node$node"; done
  await 40 "The nodes" nodes_are_idle
}

start_munged() {
  running "$state/pid/munged.pid" >/dev/null && return
  rm -f "$state"/munge/munge.sock*
  munged --force --key-file="$state/key/munge.key" --socket="$state/munge/munge.sock" --pid-file="$state/pid/munged.pid" \
    --log-file="$state/log/munged.log" --seed-file="$state/key/munge.seed" --num-threads=4 2>>"$state/log/munged.err"
}

start_mariadbd() {
  running "$state/pid/mariadbd.pid" >/dev/null && return
  [ -d "$state/db/mysql" ] || mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$state/db" --skip-test-db \
    --auth-root-authentication-method=socket >"$state/log/mariadb-install.log" 2>&1
  setsid -f mariadbd --no-defaults --user="$(id -un)" --datadir="$state/db" --socket="$state/db/m.sock" --port=$((PORT + 2)) \
    --bind-address=127.0.0.1 --pid-file="$state/pid/mariadbd.pid" --skip-name-resolve --skip-log-bin \
    --innodb-buffer-pool-size=128M --innodb-log-file-size=32M --innodb-lock-wait-timeout=900 \
    --innodb-flush-log-at-trx-commit=0 --init-file="$state/etc/init.sql" </dev/null >>"$state/log/mariadbd.log" 2>&1
  await 30 mariadbd answers $((PORT + 2))
}

start_slurmdbd() {
  running "$state/pid/slurmdbd.pid" >/dev/null && return
  slurmdbd </dev/null >>"$state/log/slurmdbd.err" 2>&1
  await 30 slurmdbd sacctmgr -n list cluster
}

start_slurmctld() {
  running "$state/pid/slurmctld.pid" >/dev/null && return
  slurmctld -i </dev/null >>"$state/log/slurmctld.err" 2>&1
  await 30 slurmctld controller_answers
}

start_slurmd() { # start_slurmd NODE
  running "$state/pid/slurmd.$1.pid" >/dev/null && return
  mkdir -p "$state/spool/$1"
  slurmd -N "$1" </dev/null >>"$state/log/slurmd.err" 2>&1
}

stop() { # stop [DAEMON [NODE]]
  local file
  if [ -n "${1:-}" ]; then
    file=$(pid_file "$@")
    terminate "$file"
    return
  fi
  if running "$state/pid/slurmctld.pid" >/dev/null; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break; sleep 0.1; done
  fi
  for file in "$state"/pid/slurmd.*.pid "$state/pid/slurmctld.pid"; do terminate "$file"; done
  kill_strays
  for file in slurmdbd mariadbd munged; do terminate "$state/pid/$file.pid"; done
}

terminate() { # terminate PIDFILE: TERM, and KILL after 15 seconds
  local pid
  pid=$(running "$1") || { rm -f "$1" && return; }
  kill "$pid"
  for _ in $(seq 150); do running "$1" >/dev/null || break; sleep 0.1; done
  kill_daemon "$1"
}

kill_daemon() {
  local pid
  if pid=$(running "$1"); then kill -9 "$pid"; fi
  rm -f "$1"
}

# Jobs and their keepers that have outlived their slurmd: those of this cluster alone, told by their environment.
kill_strays() {
  local file pid
  for file in /proc/[0-9]*/environ; do
    pid=${file//[!0-9]/}
    belongs "$file" "SLURM_CONF=$SLURM_CONF" || continue
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = slurmstepd ] || belongs "$file" 'SLURM_JOB_ID=.*'; then kill -9 "$pid" 2>/dev/null || true; fi
  done
}

belongs() { { tr '\0' '\n' <"$1" | grep -qxE "$2"; } 2>/dev/null; }

# Slurm's keepers of the jobs; the jobs live on, and Slurm believes them running.
kill_stepds() {
  local file pid
  for file in /proc/[0-9]*/comm; do
    pid=${file//[!0-9]/}
    [ "$(cat "$file" 2>/dev/null)" = slurmstepd ] || continue
    if belongs "/proc/$pid/environ" "SLURM_CONF=$SLURM_CONF"; then kill -9 "$pid" 2>/dev/null || true; fi
  done
}

pid_file() { # pid_file DAEMON [NODE]
  case "$1" in
    munged | mariadbd | slurmdbd | slurmctld) echo "$state/pid/$1.pid" ;;
    slurmd) [ -n "${2:-}" ] || die "which slurmd: cluster.sh ${verb} slurmd node1"; echo "$state/pid/slurmd.$2.pid" ;;
    *) die "$1 is no daemon of this cluster: munged, mariadbd, slurmdbd, slurmctld, slurmd NODE." ;;
  esac
}

restart() { # restart [DAEMON [NODE]]
  [ -n "${1:-}" ] || { stop && start && return; }
  stop "$@"
  "start_$1" "${@:2}"
}

status() {
  local name code=0 pid names=(munged slurmctld)
  [ "$ACCOUNTING" = no ] || names+=(mariadbd slurmdbd)
  for name in "${names[@]}" $(seq -f slurmd.node%g "$NODES"); do
    if pid=$(running "$state/pid/$name.pid"); then echo "$name up, process $pid"; else echo "$name down" && code=1; fi
  done
  [ $code = 1 ] || sinfo
  return $code
}

clean() {
  local file
  for file in "$state"/pid/*.pid; do [ ! -e "$file" ] || kill_daemon "$file"; done
  kill_strays
  sleep 0.2
  # Only what is a cluster's: a wrongly set PERSONA_EXP_TESTBED is not to cost anybody a folder.
  [ ! -e "$state/settings" ] || rm -rf "$state"
}

verb=${1:-}
[ $# = 0 ] || shift
read_settings
case "$verb" in
  start | stop | restart | status | clean) "$verb" "$@" ;;
  env) printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" ;;
  kill) if [ "${1:-}" = slurmstepd ]; then kill_stepds; else file=$(pid_file "${1:-}" "${2:-}") && kill_daemon "$file"; fi ;;
  down) scontrol update NodeName="${1:?which node}" State=DOWN Reason=test ;;
  up)
    start_slurmd "${1:?which node}"
    if scontrol show node "$1" | grep -qE 'State=[A-Z*+]*(DOWN|DRAIN)'; then scontrol update NodeName="$1" State=RESUME; fi
    await 40 "$1" node_works "$1"
    ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
