"""A trial on disk: its identity, its attempts, and the stages in order."""
