"""Sealed trials onto machines."""
