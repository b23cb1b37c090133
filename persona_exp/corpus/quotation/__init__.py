"""Where speech stands in a text."""
