"""Sentences that a printer ran together are left alone."""

import pytest

from persona_exp.teacher.rules import RulesTeacher
from persona_exp.teacher.teacher_interface import Request, Voice

MABEL = Voice("Mabel Crewe", ("Mabel",), "she", False, "England in 1815", "You are Mabel Crewe.")
ACCOUNT = "Mabel took the lantern from the shelf and went down to the boat-house by the narrow path behind the garden wall."


def drafts(passage: str) -> list[str]:
    return [draft.assistant for draft in RulesTeacher().drafts(Request("narrative", MABEL, passage, None, ("Mr. Dunn",)))]


def test_the_same_words_parted_properly_are_rewritten() -> None:
    assert drafts(f"{ACCOUNT} Mabel set the lantern upon the bench and looked about for the oars.")


@pytest.mark.parametrize("jammed", ["Mabel was surprised.—She never had deserved it.", "Mabel was much surprised at Mr."])
def test_what_is_run_together_or_cut_off_is_not(jammed: str) -> None:
    assert not any("surprised" in account for account in drafts(f"{ACCOUNT} Mabel set the lantern upon the bench. {jammed}"))
