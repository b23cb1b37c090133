import ast
import re
from itertools import pairwise

import pytest

from persona_exp.counted_noun import counted, of_number
from tests.conftest import ROOT

COUNTED = "trials|jobs|steps|seeds|replies|files|tasks|rounds|bundles|sweeps|attempts|asks|workers|prompts|items|settings|examples|models"
# These are several: two at least, or a number that the code sets.
SEVERAL = {
    ("analysis/bootstrap_intervals.py", " items"),
    ("analysis/table_caption.py", " replies"),
    ("analysis/table_caption.py", " settings"),
    ("analysis/tuned_arms.py", " trials"),
    ("persona_exp/cli/commands/cancel.py", " asks"),
    ("persona_exp/cli/text/search_text.py", " seeds"),
    ("persona_exp/launch/clone_trial.py", " sweeps"),
    ("persona_exp/launch/cost/cost_estimate.py", " tasks"),
    ("persona_exp/launch/doctor_checks.py", " jobs"),
    ("persona_exp/launch/launch_search.py", " trials"),
    ("persona_exp/launch/recovery/sweep_hold.py", " trials"),
    ("persona_exp/launch/sweeps/search_failures.py", " asks"),
    ("persona_exp/launch/sweeps/finish_sweep.py", " trials"),
    ("persona_exp/launch/workers/local_sweep.py", " trials"),
}


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "trial", "1 trial"), (0, "trial", "0 trials"), (2, "reply", "2 replies"), (1, "reply", "1 reply"), (1200, "day", "1,200 days")],
)
def test_a_number_goes_with_its_noun(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(("number", "unit", "text"), [(1, "replies", "reply"), (2, "replies", "replies"), (1, "tokens", "token")])
def test_a_unit_goes_with_its_number(number, unit, text):
    assert of_number(number, unit) == text


def test_verbs_go_with_the_number_too():
    assert (counted(1, "trial", "is", "are"), counted(2, "trial", "is", "are")) == ("1 trial is", "2 trials are")


def test_no_line_for_a_reader_puts_a_plural_behind_any_number():
    """A number in an f-string with a plural behind it says `1 trials` one day."""
    found = set()
    for folder in ("analysis", "persona_exp/cli", "persona_exp/launch", "persona_exp/search", "persona_exp/export"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                parts = node.values if isinstance(node, ast.JoinedStr) else []
                for number, text in pairwise(parts):
                    noun = isinstance(text, ast.Constant) and re.match(rf" ({COUNTED})\b", str(text.value))
                    if isinstance(number, ast.FormattedValue) and noun:
                        found.add((path.relative_to(ROOT).as_posix(), noun[0]))
    assert found == SEVERAL


def test_no_verb_behind_a_counted_noun_is_a_plural_whatever_the_number():
    """`{counted(n, 'trial')} are` says `1 trial are` one day: the verb is the third argument of `counted`."""
    found = set()
    for folder in ("analysis", "persona_exp"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for number, text in pairwise(node.values if isinstance(node, ast.JoinedStr) else []):
                    verb = isinstance(text, ast.Constant) and re.match(r" (are|were|have)\b", str(text.value))
                    call = number.value if isinstance(number, ast.FormattedValue) else None
                    if verb and isinstance(call, ast.Call) and ast.unparse(call.func) == "counted":
                        found.add((path.relative_to(ROOT).as_posix(), ast.unparse(call) + verb[0]))
    assert found == set()
