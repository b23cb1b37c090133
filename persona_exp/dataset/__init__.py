"""Passages to examples, mixed and split without leaks. Text only."""
