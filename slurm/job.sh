# What train.sbatch and sweep.sbatch share: finds the environment, runs run.py, and puts the job back into the queue when it was stopped.
# usage: source slurm/job.sh; run_py SCRIPT ARGUMENT…     (SCRIPT: the sbatch file itself; ARGUMENT…: run.py's)

# A time limit that is over before the first checkpoint would otherwise start the job for ever.
MOST_RESTARTS=${PERSONA_EXP_MOST_RESTARTS:-100}

# Slurm's TERM and USR2 reach python by themselves (as a step of the job). With a trap the shell lives on until python has saved.
trap : TERM INT USR2

find_python() {
  if [ -x .venv/bin/python ]; then
    echo .venv/bin/python
  elif python -c 'import persona_exp' 2>/dev/null; then
    command -v python # An active conda environment, as sbatch passes it on.
  else
    echo "error: no environment was found: run 'make setup' in $PWD, or submit with the conda environment active." >&2
    return 1
  fi
}

# 0: the job is in the queue again; 1: a person cancelled it; 2: it cannot be requeued from here.
requeue() {
  "$1" - <<'PY'
import sys
from persona_exp.launch.slurm.requeue import cancelled_by_user, requeue_this_job

sys.exit(1 if cancelled_by_user() else 0 if requeue_this_job() else 2)
PY
}

# Where compute nodes have no scontrol: the same script anew, with none of this job's own variables around it.
resubmit() {
  local script=$1 variable array=()
  shift
  [ "${1:-}" != -m ] || shift # The script puts it there itself.
  [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || array=("--array=$SLURM_ARRAY_TASK_ID")
  local where=("--partition=$SLURM_JOB_PARTITION" "--job-name=$SLURM_JOB_NAME" ${SLURM_JOB_ACCOUNT:+"--account=$SLURM_JOB_ACCOUNT"})
  (
    for variable in $(compgen -e | grep -E '^(SLURM|SBATCH|SRUN)_' | grep -vE '^SLURM_CONF'); do unset "$variable"; done
    sbatch "${where[@]}" "${array[@]}" "$script" "$@"
  )
}

run_py() {
  local script=$1 python status
  shift
  cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
  [ -f run.py ] || { echo "error: submit from the repository's folder, where run.py is." >&2; exit 2; }
  python=$(find_python) || exit 2
  # Since Slurm 22.05, srun does not take the number of cores from its job; and torch would take all that it sees.
  export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1} OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
  export PYTHONUNBUFFERED=1 # srun's own --unbuffered would make Slurm's log a terminal, bars and colours included.
  srun --ntasks=1 --open-mode=append "$python" run.py "$@"
  status=$?
  [ "$status" = 75 ] || exit "$status"
  # 75: stopped before its end and resumable. The same command goes on, so it only has to run again.
  if [ "${SLURM_RESTART_COUNT:-0}" -ge "$MOST_RESTARTS" ]; then
    echo "The job was restarted $SLURM_RESTART_COUNT times: is its time limit too short to get anywhere? Submitted again, it goes on." >&2
    exit 75
  fi
  requeue "$python"
  case $? in
    0) echo "The job is in the queue again and will go on from its last checkpoint." ;;
    2) resubmit "$script" "$@" || echo "It could not be submitted again: submit it yourself, and it goes on." >&2 ;;
  esac
  exit 75
}
