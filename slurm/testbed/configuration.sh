# Sourced by cluster.sh: writes the cluster's configuration below $state from its settings.

# slurm_since YEAR MONTH: whether the installed Slurm is of that release or a newer one
slurm_since() {
  local found
  found=$(slurmctld -V | grep -oE '[0-9]+\.[0-9]+' | head -n1)
  [ "$((10#${found%.*} * 100 + 10#${found#*.}))" -ge "$((10#$1 * 100 + 10#$2))" ]
}

write_configuration() {
  mkdir -p "$state"/{etc,log,pid,state,spool,db,dev}
  mkdir -p -m 0711 "$state/munge"
  mkdir -p -m 0700 "$state/key"
  # Ordinary users read the configuration and reach munge's socket, and nothing else.
  chmod 755 "$state" "$state/etc" "$state/log" "$state/pid"
  [ -s "$state/key/munge.key" ] || (umask 077 && head -c 128 /dev/urandom >"$state/key/munge.key")
  slurm_conf >"$state/etc/slurm.conf.new"
  gres_conf >"$state/etc/gres.conf"
  cgroup_conf >"$state/etc/cgroup.conf"
  (umask 077 && slurmdbd_conf >"$state/etc/slurmdbd.conf")
  database >"$state/etc/init.sql"
}

slurm_conf() {
  local user node
  user=$(id -un)
  cat <<CONF
ClusterName=testbed
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# cred_expire is also how long a requeued job must wait before it may run again (Slurm's default: 120 s).
AuthInfo=socket=$state/munge/munge.sock,cred_expire=$REQUEUE_WAIT
CommunicationParameters=DisableIPv6
StateSaveLocation=$state/state
SlurmctldPidFile=$state/pid/slurmctld.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmctldDebug=info
SlurmdSpoolDir=$state/spool/%n
SlurmdPidFile=$state/pid/slurmd.%n.pid
SlurmdLogFile=$state/log/slurmd.%n.log
SlurmdDebug=info
# Believe the cores and the memory below, not the hardware.
SlurmdParameters=config_overrides
LaunchParameters=use_interactive_step
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
PropagateResourceLimits=NONE
# A node that an administrator has set down stays down; one whose daemon had died comes back with it.
ReturnToService=1
JobRequeue=1
KillWait=$KILL_WAIT
MinJobAge=300
InactiveLimit=0
SlurmdTimeout=10
SlurmctldTimeout=10
BatchStartTimeout=10
MessageTimeout=10
UnkillableStepTimeout=30
MaxJobCount=20000
MaxArraySize=$MAX_ARRAY_SIZE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2,bf_min_age_reserve=0,default_queue_depth=1000,bf_max_job_test=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
JobCompType=jobcomp/none
CONF
  # Without it a preempted job gets CONT and TERM only, never its own --signal.
  if [ "$PREEMPT_SIGNAL" = yes ]; then
    if slurm_since 23 2; then echo "PreemptParameters=send_user_signal"; else echo "SlurmctldParameters=preempt_send_user_signal"; fi
  fi
  if [ "$ACCOUNTING" = yes ]; then
    # The munge socket for the connection to slurmdbd is told by AccountingStoragePass, not by AuthInfo.
    cat <<CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$state/munge/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
CONF
  fi
  for ((node = 1; node <= NODES; node++)); do
    echo "NodeName=node$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + 10 + node)) CPUs=$CPUS RealMemory=16000" \
      "Gres=gpu:$GPU_TYPE:$GPUS State=UNKNOWN"
  done
  cat <<CONF
PartitionName=main Nodes=ALL Default=YES PriorityTier=10 PreemptMode=REQUEUE GraceTime=$GRACE MaxTime=INFINITE DefaultTime=10 State=UP
PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=$GRACE MaxTime=INFINITE DefaultTime=10 State=UP
PartitionName=high Nodes=ALL PriorityTier=100 PreemptMode=OFF MaxTime=INFINITE DefaultTime=10 State=UP
CONF
}

# Slurm sets CUDA_VISIBLE_DEVICES for device nodes only. Where none can be made, those that every Linux has stand in for them.
gres_conf() {
  local card files=() standing=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom)
  for ((card = 0; card < GPUS; card++)); do
    [ -c "$state/dev/gpu$card" ] || mknod "$state/dev/gpu$card" c 1 3 2>/dev/null || true
    if [ -c "$state/dev/gpu$card" ]; then files+=("$state/dev/gpu$card"); else files+=("${standing[card]}"); fi
  done
  echo "AutoDetect=off"
  for card in "${files[@]}"; do echo "NodeName=node[1-$NODES] Name=gpu Type=$GPU_TYPE File=$card"; done
}

# No test here needs cgroups, and containers have none to give away.
cgroup_conf() {
  if slurm_since 23 11; then echo "CgroupPlugin=disabled"; else echo "CgroupPlugin=cgroup/v1"; fi
}

slurmdbd_conf() {
  cat <<CONF
AuthType=auth/munge
AuthInfo=socket=$state/munge/munge.sock
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
SlurmUser=$(id -un)
DebugLevel=info
LogFile=$state/log/slurmdbd.log
PidFile=$state/pid/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT + 2))
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
CONF
}

database() {
  cat <<SQL
CREATE DATABASE IF NOT EXISTS accounting;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
GRANT ALL ON accounting.* TO 'slurm'@'127.0.0.1';
SQL
}
