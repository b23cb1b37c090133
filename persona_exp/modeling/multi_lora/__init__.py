"""Many adapters on one frozen base model, computed together and without padding."""
