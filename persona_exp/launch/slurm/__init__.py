"""Slurm, spoken to through its own commands."""
