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
    command -v python # An active environment, as sbatch passes it on.
  else
    echo "error: no environment was found: run 'make setup' in $PWD, or submit with the environment active." >&2
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

# What sbatch was given on its command line, as far as Slurm tells it here: one option a line.
given() {
  local limit features
  echo "--partition=$SLURM_JOB_PARTITION"
  echo "--job-name=$SLURM_JOB_NAME"
  option --account "${SLURM_JOB_ACCOUNT:-}"
  option --qos "${SLURM_JOB_QOS:-}"
  option --reservation "${SLURM_JOB_RESERVATION:-}"
  option --gpus-per-node "${SLURM_GPUS_PER_NODE:-}"
  option --gpus "${SLURM_GPUS:-}"
  option --cpus-per-task "${SLURM_CPUS_PER_TASK:-}"
  option --mem "${SLURM_MEM_PER_NODE:+${SLURM_MEM_PER_NODE}M}"
  option --mem-per-cpu "${SLURM_MEM_PER_CPU:+${SLURM_MEM_PER_CPU}M}"
  option --mem-per-gpu "${SLURM_MEM_PER_GPU:+${SLURM_MEM_PER_GPU}M}"
  IFS=' ' read -r limit features < <(squeue --noheader "--jobs=$SLURM_JOB_ID" '--format=%l %f' 2>/dev/null)
  option --time "${limit:-}"
  option --constraint "${features:-}"
}

option() {
  case $2 in '' | '(null)' | UNLIMITED | INVALID) ;; *) echo "$1=$2" ;; esac
}

# Where compute nodes have no scontrol: the same script anew, with none of this job's own variables around it. It is told which job it
# follows, whose note it goes on with, and how often there was a start before: its own count begins at 0.
resubmit() {
  local script=$1 restarts=$2 variable array=() where after
  shift 2
  after="PERSONA_EXP_JOB_BEFORE=$SLURM_JOB_ID,PERSONA_EXP_RESTARTS_BEFORE=$((restarts + 1))"
  [ "${1:-}" != -m ] || shift # The script puts it there itself.
  [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || array=("--array=$SLURM_ARRAY_TASK_ID")
  mapfile -t where < <(given)
  (
    for variable in $(compgen -e | grep -E '^(SLURM|SBATCH|SRUN)_' | grep -vE '^SLURM_CONF'); do unset "$variable"; done
    sbatch "${where[@]}" "--export=ALL,$after" "${array[@]}" "$script" "$@"
  )
}

run_py() {
  local script=$1 python status restarts before check again=()
  shift
  restarts=$((${SLURM_RESTART_COUNT:-0} + ${PERSONA_EXP_RESTARTS_BEFORE:-0})) before=${PERSONA_EXP_JOB_BEFORE:-}
  unset PERSONA_EXP_RESTARTS_BEFORE PERSONA_EXP_JOB_BEFORE # They are not meant for what is submitted from within the job.
  cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
  [ -f run.py ] || [ -f persona-exp.yaml ] || {
    echo "error: submit from the repository's folder, where run.py is, or from a study's, where persona-exp.yaml is." >&2
    exit 2
  }
  python=$(find_python) || exit 2
  # Since Slurm 22.05, srun does not take the number of cores from its job; and torch would take all that it sees.
  export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1} OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
  export PYTHONUNBUFFERED=1 # srun's own --unbuffered would make Slurm's log a terminal, bars and colours included.
  # Where run.py writes what it has sealed: started again, the job goes on with that, whatever conf/ and the code say by then.
  export PERSONA_EXP_JOB_NOTE=${PERSONA_EXP_RUNS:-runs}/jobs/$SLURM_JOB_ID
  [ "${SLURM_RESTART_COUNT:-0}" != 0 ] || rm -f "$PERSONA_EXP_JOB_NOTE" # Slurm gives job numbers again.
  if [ -n "$before" ] && [ -f "${PERSONA_EXP_JOB_NOTE%/*}/$before" ] && [ ! -f "$PERSONA_EXP_JOB_NOTE" ]; then
    cp "${PERSONA_EXP_JOB_NOTE%/*}/$before" "$PERSONA_EXP_JOB_NOTE"
  fi
  [ ! -f "$PERSONA_EXP_JOB_NOTE" ] || mapfile -t again <"$PERSONA_EXP_JOB_NOTE"
  if [ "${#again[@]}" -gt 1 ]; then
    # None of the copied code runs before the whole of it was found to be what was sealed.
    check=$("$python" -c 'from persona_exp.launch.slurm.verified_start import CHECK; print(CHECK)') || exit 1
    PYTHONDONTWRITEBYTECODE=1 srun --ntasks=1 --open-mode=append "$python" -I -B -c "$check" "${again[@]}"
  elif [ -f run.py ]; then
    srun --ntasks=1 --open-mode=append "$python" run.py "$@"
  else
    srun --ntasks=1 --open-mode=append "$python" -P -m persona_exp.cli.main run "$@"
  fi
  status=$?
  case $status in
    75) ;;
    138 | 140 | 143) echo "Stopped by a signal before it could listen to any." >&2 ;; # USR1, USR2, TERM: python was still loading.
    *) exit "$status" ;;
  esac
  # 75: stopped before its end and resumable. The same command goes on, so it only has to run again.
  if [ "$restarts" -ge "$MOST_RESTARTS" ]; then
    echo "The job was restarted $restarts times: is its time limit too short to get anywhere? Submitted again, it goes on." >&2
    exit 75
  fi
  requeue "$python"
  case $? in
    0) echo "The job is in the queue again and will go on from its last checkpoint." ;;
    2) resubmit "$script" "$restarts" "$@" || echo "It could not be submitted again: submit it yourself, and it goes on." >&2 ;;
  esac
  exit 75
}
