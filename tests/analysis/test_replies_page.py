"""The page of replies of a report."""

from pathlib import Path

from analysis.replies_page import replies_markdown
from persona_exp.trial.generated_replies import ComparedReplies, GeneratedReply, ReplyColumn, ReplyComparison, compare_replies
from persona_exp.trial.recorded_evaluations import Evaluation
from persona_exp.trial.recorded_sweep import read_sweep

OLDER = Path(__file__).parents[1] / "golden" / "older_runs" / "v3"
SWEEP = "lora.r=2,4,seed=0,1-434d7be8"


def column(text: str) -> ReplyColumn:
    evaluation = Evaluation("e" * 12, "adapter", "test", {"max_new_tokens": 8}, {}, {}, [], Path("nowhere"))
    prompt = ({"role": "user", "content": "Who?"},)
    return ReplyColumn("a" * 12, "lora.r=4", evaluation, {"x": GeneratedReply("x", "book", prompt, "A friend.", text, False, True)})


def test_the_page_of_a_real_sweep():
    page = replies_markdown(compare_replies(OLDER, read_sweep(OLDER, SWEEP).trials), SWEEP)
    assert "2 of 2 held-out prompts, at equal distances; replies are greedy, of 4 tokens at most." in page
    assert "| base model + system prompt | 20cfdd113b55 | 2 | 0 | 2 |" in page
    assert page.index("**true line**") < page.index("**base model + system prompt** (cut)") < page.index("**lora.r=2 seed=0** (cut)")
    assert page.count("You are Tobias Wrexham.") == 1


def test_nothing_in_a_reply_is_markdown_or_html():
    page = replies_markdown(ComparedReplies([ReplyComparison([column("# <b>*no*</b>\n- a | b\n1. c\x1b[2J")])], []), "s")
    assert "**lora.r=4** (loops)\n\n> \\# \\<b\\>\\*no\\*\\</b\\>\\\n> \\- a \\| b\\\n> 1\\. c\\\\u001b\\[2J" in page


def test_many_trials_are_counted_not_shown():
    page = replies_markdown(
        ComparedReplies([ReplyComparison([column(f"reply {number}") for number in range(30)])], ["One is missing."]), "s"
    )
    assert "The replies of 6 trials more are left out here: `persona-exp replies s` shows them." in page
    assert ("reply 23" in page, "reply 24" in page) == (True, False)
    assert page.endswith("## Without replies\n\n- One is missing.\n")
