"""Slurm's reasons for letting a job wait, and an attempt's causes, in words."""

# Slurm's own names: squeue(1), JOB REASON CODES. The first that the reason begins with counts.
REASONS = (
    ("Priority", "jobs of higher priority go first"),
    ("Resources", "it is next in line and waits for enough free resources"),
    ("DependencyNeverSatisfied", "the job that it depends on ended in a way that will never let it start"),
    ("Dependency", "it waits for another job to end"),
    ("JobArrayTaskLimit", "as many tasks as hydra.launcher.array_parallelism allows are running"),
    ("BeginTime", "it was requeued, and Slurm lets some minutes go by before it starts a job again"),
    ("JobHeldUser", "you hold it (scontrol release lets it go)"),
    ("JobHeldAdmin", "the site's administrators hold it"),
    ("launch failed requeued held", "its node could not start it, and Slurm holds it (scontrol release lets it go)"),
    ("ReqNodeNotAvail", "nodes that it needs are down, drained or reserved"),
    ("NodeDown", "a node that it needs is down"),
    ("Nodes required for job are DOWN", "nodes that it needs are down, drained or reserved"),
    ("PartitionTimeLimit", "it asks for more time than its partition allows (hydra.launcher.timeout_min)"),
    ("PartitionNodeLimit", "it asks for more than its partition's nodes have"),
    ("PartitionDown", "its partition is down"),
    ("PartitionInactive", "its partition takes no jobs at the moment"),
    ("Reservation", "it waits for its reservation"),
    ("Licenses", "it waits for a licence"),
    ("BadConstraints", "no node meets its constraints (hydra.launcher.constraint)"),
    ("Cleaning", "it was requeued, and its earlier run is still being cleaned up"),
    ("QOS", "a limit of its quality of service is reached"),
    ("MaxJobsPerUser", "your limit of running jobs is reached"),
    ("Assoc", "a limit of your account is reached"),
    ("MaxCpuPerAccount", "a limit of your account is reached"),
    ("InvalidQOS", "its quality of service is not known (hydra.launcher.qos)"),
    ("InvalidAccount", "its account is not known (hydra.launcher.account)"),
    ("None", "Slurm has not looked at it yet"),
)

CAUSES = {
    "preempted": "its job was preempted",
    "time_limit": "its job ran into its time limit",
    "node_failed": "its node failed",
    "killed": "it was killed without a last word",
    "signal": "it was told to stop",
    "superseded": "a later attempt took over",
    "cancelled": "its job was cancelled",
    "out_of_memory": "it ran out of memory",
    "input": "what it was given cannot be used",
    "disk_full": "the disk or the quota is full",
    "seal": "it is not what was sealed",
    "start": "its process ended before it began",
}

REMEDIES = {
    "out_of_memory": "A smaller bundle.row_tokens (of engine=sft train.micro_batch_size) keeps the effective batch, and "
    "train.gradient_checkpointing=true saves more; or give it a larger GPU (hydra.launcher.constraint, partition).",
    "input": "Put right what the message names.",
    "disk_full": "Make room; `persona-exp clean` says what can be deleted.",
    "seal": "Something was changed after it was sealed; its command seals it anew, as things are now.",
    "killed": "The job may need more memory (hydra.launcher.mem_gb); its log is `persona-exp logs {trial}`.",
    "cancelled": "Somebody cancelled the job itself (scancel).",
    "signal": "Give it more time (hydra.launcher.timeout_min) or more frequent checkpoints (train.checkpoint_minutes).",
    "preempted": "Save more often (train.checkpoint_minutes), or ask for a partition where it is left alone for longer.",
    "time_limit": "Give it more time (hydra.launcher.timeout_min) or more frequent checkpoints (train.checkpoint_minutes).",
}


def waits(reason: str) -> str:
    """Slurm's reason in words, with its own name for those who want to look it up."""
    plain = reason.strip("()")
    words = next((words for name, words in REASONS if plain.startswith(name)), None)
    return f"{words} ({plain})" if words else f"Slurm's reason is {plain}"


def happened(cause: str | None) -> str:
    """A cause in words; an exception's class as it is."""
    if cause is None:
        return "it says no cause"
    return CAUSES.get(cause, cause)
