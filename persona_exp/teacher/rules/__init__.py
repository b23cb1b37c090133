"""The offline teacher: narration into the first person, questions, reported speech and evasions, by rules."""

from persona_exp.teacher.rules.rules_teacher import RULES_IDENTITY, RulesTeacher

__all__ = ["RULES_IDENTITY", "RulesTeacher"]
