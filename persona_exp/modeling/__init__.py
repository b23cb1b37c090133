"""Base models, their chat templates, quantisation and adapters. Takes plain arguments; knows nothing of trials."""
