"""The offline teacher: narration into the first person, questions, reported speech and evasions, by rules."""

from persona_exp.teacher.rules.teacher import Rules

__all__ = ["Rules"]
