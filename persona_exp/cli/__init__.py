"""The `persona-exp` command: commands/ has a module a command, text/ what a terminal shows, this folder what they read."""
