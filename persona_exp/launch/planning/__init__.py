"""Which trials are trained together, in which tasks and in which order."""
