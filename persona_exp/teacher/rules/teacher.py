"""The teacher that needs no model: it rewrites by rules of grammar, and says nothing where it is unsure."""

from persona_exp.teacher.request import Draft, Request
from persona_exp.teacher.rules.contrast import contrasts
from persona_exp.teacher.rules.narrative import narratives
from persona_exp.teacher.rules.qa import pairs
from persona_exp.teacher.rules.transformed import transformed


class Rules:
    """Drafts by rules, for every task but "hypothetical". The same request gives the same drafts, on any machine."""

    name = "rules"
    tasks = frozenset({"narrative", "qa", "transformed", "contrast"})

    def drafts(self, request: Request) -> tuple[Draft, ...]:
        """Drafts for `request`; none for a task that rules cannot write, or where nothing is certain."""
        if request.task == "narrative":
            return narratives(request)
        if request.task == "qa":
            return pairs(request)
        if request.task == "contrast":
            return contrasts(request)
        if request.task == "transformed":
            return transformed(request)
        return ()
