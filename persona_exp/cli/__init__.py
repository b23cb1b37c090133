"""The `persona-exp` command: one module a noun."""
