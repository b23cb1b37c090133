"""Slurm's reasons for a pending job, in words."""

# Slurm's own names: squeue(1), JOB REASON CODES. The first that the reason begins with counts.
SLURM_REASONS = (
    ("Priority", "jobs of higher priority go first"),
    ("Resources", "it is next in line and waits for enough free resources"),
    ("DependencyNeverSatisfied", "the job that it depends on ended in a way that will never let it start"),
    ("Dependency", "it waits for another job to end"),
    ("JobArrayTaskLimit", "as many tasks as hydra.launcher.array_parallelism allows are running"),
    ("BeginTime", "the time has not come before which it must not start (sbatch's begin)"),
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
    ("None", "Slurm has not considered it yet"),
)


# What BeginTime means of a job that has run before.
REQUEUED = "it was requeued, and Slurm lets some minutes go by before it starts a job again"


def pending_reason(reason: str, *, ran_before: bool = False) -> str:
    """Return Slurm's reason in words, with its own name in brackets."""
    plain = reason.strip("()")
    words = (
        REQUEUED if plain == "BeginTime" and ran_before else next((words for name, words in SLURM_REASONS if plain.startswith(name)), None)
    )
    return f"{words} ({plain})" if words else f"Slurm's reason is {plain}"
