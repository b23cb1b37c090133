"""What becomes of trials and sweeps after failures: causes, retries, memory backoff, holds."""
