"""Every fault that a cluster can put in a trial's way, on a real Slurm."""
