"""What may become of a trial or a sweep next."""
