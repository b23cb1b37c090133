"""The processes that run trials, one on each GPU."""
