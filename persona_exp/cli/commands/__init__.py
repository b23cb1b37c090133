"""The commands of `persona-exp`: one module a command, named as it is."""
