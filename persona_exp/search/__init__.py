"""Which trials a sweep asks for."""
