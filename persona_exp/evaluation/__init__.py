"""Metrics of one model on held-out replies. Torch and transformers are imported inside functions."""
