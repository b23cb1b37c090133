"""The teacher that needs no model: it rewrites by rules of grammar, and says nothing where it is unsure."""

from collections.abc import Mapping
from typing import Any

from persona_exp.teacher.rules.contrast_drafts import contrast_drafts
from persona_exp.teacher.rules.narrative_drafts import narrative_drafts
from persona_exp.teacher.rules.qa_drafts import qa_drafts
from persona_exp.teacher.rules.transformed_drafts import transformed_drafts
from persona_exp.teacher.teacher_interface import Draft, Request

# What the rules' answers depend on is this code, which DATA_VERSION stands for.
RULES_IDENTITY: Mapping[str, Any] = {"name": "rules"}


class RulesTeacher:
    """Drafts by rules, for every task but "hypothetical". The same request gives the same drafts, on any machine."""

    name = "rules"

    def drafts(self, request: Request) -> tuple[Draft, ...]:
        """Return drafts for `request`; none for a task that rules cannot write, or where nothing is certain."""
        if request.task == "narrative":
            return narrative_drafts(request)
        if request.task == "qa":
            return qa_drafts(request)
        if request.task == "contrast":
            return contrast_drafts(request)
        if request.task == "transformed":
            return transformed_drafts(request)
        return ()
