"""Teachers: what writes training examples that the books do not hold, by rules or with a language model."""
