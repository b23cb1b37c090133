"""The causes that end an attempt, in words, and what a person can do about each."""

CAUSES = {
    "preempted": "its job was preempted",
    "time_limit": "its job ran into its time limit",
    "node_failed": "its node failed",
    "killed": "it was killed without a last word",
    "signal": "it got a signal to stop",
    "stopped": "a person stopped it",
    "superseded": "a later attempt took over",
    "cancelled": "its job was cancelled",
    "out_of_memory": "it ran out of memory",
    "input": "what it was given cannot be used",
    "disk_full": "the disk or the quota is full",
    "no_gpu": "it asked for a GPU and saw none",
    "seal": "it is not what was sealed",
    "damaged": "its record was damaged",
    "start": "its process ended before it began",
}

REMEDIES = {
    "out_of_memory": "A smaller bundle.row_tokens (of engine=sft train.micro_batch_size) keeps the effective batch, and "
    "train.gradient_checkpointing=true saves more; or give it a larger GPU (hydra.launcher.constraint, partition).",
    "input": "Put right what the message names.",
    "disk_full": "Make room; `persona-exp clean` says what can be deleted.",
    "no_gpu": "Put right what the message names, or keep the node out (hydra.launcher.exclude=NODE); the same command tries again.",
    "seal": "Something was changed after it was sealed; its command seals it anew, as things are now.",
    "killed": "The job may need more memory (hydra.launcher.mem_gb); its log is `persona-exp logs {trial}`.",
    "cancelled": "The job itself was cancelled (scancel).",
    "signal": "Give it more time (hydra.launcher.timeout_min) or more frequent checkpoints (train.checkpoint_minutes).",
    "preempted": "Save more often (train.checkpoint_minutes), or ask for a partition where it is left alone for longer.",
    "time_limit": "Give it more time (hydra.launcher.timeout_min) or more frequent checkpoints (train.checkpoint_minutes).",
}


def cause_text(cause: str | None) -> str:
    """Return a cause in words; an exception's class as it is."""
    if cause is None:
        return "it says no cause"
    return CAUSES.get(cause, cause)
