"""Many requests: order, concurrency, cache, budget, kills."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.teacher.concurrent_calls import TeacherCalls, ask_all, complete_all
from persona_exp.teacher.teacher_interface import Draft
from persona_exp.teacher.token_and_money_budget import Budget, BudgetSpent, most_tokens


def written(text):
    return json.dumps({"examples": [{"user": "What did you do?", "assistant": text}]})


def by_number(server):
    """An answer that says which question it is to; later ones sooner."""

    def behave(number, body):
        content = body["messages"][0]["content"]
        place = int(content.rpartition("rope number ")[2].partition(".")[0])
        return 0.02 * (place % 3), server.answer(written(f"I found rope number {place}, and I kept it in my own bag."))

    return behave


def talks(count):
    """Short conversations, whose fewest and most tokens are far apart."""
    return [[{"role": "user", "content": f"question{place} {'m' * 200}"}] for place in range(count)]


@pytest.fixture
def many(request_for):
    return lambda count: [request_for(passage=f"Wrexham found rope number {place}. He kept it in his own bag.") for place in range(count)]


def test_the_order_of_requests_is_kept(server, teacher, many, tmp_path):
    server.behave = by_number(server)
    requests = many(12)
    answers = ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 5), requests)
    assert [answer.request for answer in answers] == requests
    assert [answer.drafts[0].assistant.split()[4] for answer in answers] == [f"{place}," for place in range(12)]
    assert answers == ask_all(TeacherCalls(teacher(), None, Budget(), 1), requests)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_the_limit_on_concurrency_holds_and_is_used(server, teacher, many, limit):
    server.behave = lambda number, body: (0.05, server.answer())
    ask_all(TeacherCalls(teacher(), None, Budget(), limit), many(4 * limit))
    assert server.most_at_once == limit


def test_nothing_is_asked_twice(server, teacher, request_for, tmp_path, capsys):
    requests = [request_for(), request_for("qa"), request_for()]
    first = ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 2), requests)
    assert len(server.bodies) == 2
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    capsys.readouterr()
    server.behave = lambda number, body: server.answer(written("I say something else now."))
    assert ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 2), requests) == first
    assert len(server.bodies) == 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == kept
    assert capsys.readouterr().err == ""
    ask_all(TeacherCalls(teacher(seed=1), tmp_path, Budget(), 2), requests)
    assert len(server.bodies) == 4  # Other settings, other answers.


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"answer": {}}', b"[" * 100_000, "flip"])
def test_a_damaged_answer_is_set_aside_and_asked_again(server, teacher, request_for, tmp_path, damage, capsys):
    first = ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 1), [request_for()])
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(file.read_bytes().replace(b"measured", b"measores") if damage == "flip" else damage)
    assert ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 1), [request_for()]) == first
    assert len(server.bodies) == 2
    assert "is damaged" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("*.corrupt"))) == 1
    ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 1), [request_for()])
    assert len(server.bodies) == 2


def test_the_first_of_two_builds_wins(server, teacher, request_for, tmp_path):
    """Two processes that ask at once use one answer: the one that was kept first."""
    other = written("I asked for tea and put the rope into my bag.")

    def behave(number, body):
        if number == 0:  # While this one is asked, another build gets its answer.
            ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 1), [request_for()])
            return server.answer()
        return server.answer(other)

    server.behave = behave
    (answer,) = ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 1), [request_for()])
    assert answer.drafts == (Draft("What did you do?", "I asked for tea and put the rope into my bag."),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would rather talk about the weather.", "not in the asked format"),
        ("As an AI language model, I cannot write this.", "refusal"),
        ('{"examples": []}', "nothing to say"),
        (written("Wrexham knelt by the steps and measured the rope."), "not first person"),
        (written("I measured ninety-nine fathoms of rope by the steps."), "new number"),
        ('{"examples": [{"user": 3}]}', "not in the asked format"),
    ],
)
def test_rejected_drafts_are_counted(server, teacher, request_for, text, reason):
    server.behave = lambda number, body: server.answer(text)
    (answer,) = ask_all(TeacherCalls(teacher(), None, Budget(), 1), [request_for()])
    assert (answer.drafts, answer.rejected) == ((), {reason: 1})


def test_an_answer_that_was_cut_off_says_so(server, teacher, request_for):
    server.behave = lambda number, body: server.answer('{"examples": [{"user": "What', finish_reason="length")
    (answer,) = ask_all(TeacherCalls(teacher(), None, Budget(), 1), [request_for()])
    assert answer.rejected == {"cut off": 1}


def test_a_refusal_ends_all_and_keeps_what_came_before(server, teacher, many, tmp_path):
    server.behave = lambda number, body: server.answer() if number < 3 else (401, {}, b"")
    with pytest.raises(UserError, match="refuses the key"):
        ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 2), many(40))
    assert len(server.bodies) <= 6
    server.behave = lambda number, body: server.answer()
    asked = len(server.bodies)
    ask_all(TeacherCalls(teacher(), tmp_path, Budget(), 2), many(40))
    assert len(server.bodies) - asked == 37


def test_the_estimate_is_shown_and_a_hopeless_budget_refused_before_anything_is_asked(server, teacher, many, tmp_path, capsys):
    budget = Budget(max_cost=1.0, input_price_per_million=1.0, output_price_per_million=2.0)
    ask_all(TeacherCalls(teacher(), tmp_path, budget, 1), many(3))
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("teacher openai: 3 calls (0 more are cached), about ")
    assert "at most 150 out, about 0.00 in cost (at most 0.01); spent so far: 0 tokens, 0.00 of 1.00 in cost" in line
    asked = len(server.bodies)
    with pytest.raises(BudgetSpent, match=r"too little for .*raise teacher\.max_total_tokens \(now 500\)"):
        ask_all(TeacherCalls(teacher(), tmp_path, Budget(max_tokens=500), 1), many(30))
    assert len(server.bodies) == asked


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    room=st.integers(1, 9),
    concurrency=st.sampled_from([1, 4, 9]),
    faults=st.lists(st.sampled_from(["ok", "500", "429", "cut"]), max_size=8),
)
def test_the_budget_is_never_exceeded(server, teacher, room, concurrency, faults):
    """The server counts each prompt it reads as the longest it may be, and answers at full length: the worst case."""
    asked = talks(8)
    size = max(map(most_tokens, asked))
    limit = room * (size + 50)
    spent, lock = [0], threading.Lock()
    server.bodies.clear()

    def behave(number, body):
        fault = faults[number] if number < len(faults) else "ok"
        if fault == "429":
            return 429, {}, b""
        tokens = most_tokens(body["messages"])
        with lock:
            spent[0] += tokens + 50
        if fault == "cut":
            return None
        return (500, {}, b"") if fault == "500" else server.answer(prompt=tokens, completion=50)

    server.behave = behave
    budget = Budget(max_tokens=limit)
    client = teacher(retries=9)
    try:
        complete_all(TeacherCalls(client, None, budget, concurrency), asked)
    except BudgetSpent:
        assert limit - budget.spent().tokens < size + 50  # It stops only where no call fits.
    assert spent[0] <= budget.spent().tokens <= limit


def test_a_budget_that_ends_says_what_is_kept_and_goes_on_when_raised(server, teacher, tmp_path):
    asked_for = talks(10)
    size = max(map(most_tokens, asked_for)) + 50
    ledger, cache = tmp_path / "ledger.json", tmp_path / "cache"

    def run(limit):
        complete_all(TeacherCalls(teacher(), cache, Budget(max_tokens=limit, ledger=ledger), 3), asked_for)

    with pytest.raises(BudgetSpent, match=r"raise teacher\.max_total_tokens .* is not asked again \(\d of 10 answers are in "):
        run(size + 400)
    asked = len(server.bodies)
    assert 4 <= asked <= 5
    with pytest.raises(BudgetSpent):  # A second run does not start from nothing.
        run(size + 400)
    assert len(server.bodies) == asked
    run(99 * size)
    assert len(server.bodies) == 10
    assert Budget(ledger=ledger).spent().tokens == 1200


CHILD = """
import sys
from pathlib import Path
from persona_exp.teacher.concurrent_calls import TeacherCalls, complete_all
from persona_exp.teacher.token_and_money_budget import Budget
from persona_exp.teacher.openai_teacher import OpenAITeacher

client = OpenAITeacher("test-model", sys.argv[1], timeout_seconds=20, max_output_tokens=50)
talks = [[{"role": "user", "content": f"question {place}"}] for place in range(30)]
budget = Budget(max_tokens=10**6, ledger=Path(sys.argv[2]) / "ledger.json")
done = complete_all(TeacherCalls(client, Path(sys.argv[2]) / "cache", budget, 4), talks)
print("\\n".join(completion.text for completion in done))
"""


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_where_it_was(server, tmp_path, key, how):
    # What is asked last is answered so late that the kill comes before.
    again = []
    server.behave = lambda number, body: (0.05 if number < 14 or again else 3.0, server.answer("about " + body["messages"][0]["content"]))
    command = [sys.executable, "-c", CHILD, server.url, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(server.bodies) < 14:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(how)
    seen = child.communicate(timeout=100)[1]  # Before the endpoint's time-out of 120 s: Ctrl-C waits for nobody.
    assert child.returncode != 0
    time.sleep(0.1)
    asked, kept = len(server.bodies), len(list((tmp_path / "cache").rglob("[!.]*.json")))
    assert 8 <= kept <= asked < 30
    reserved = json.loads((tmp_path / "ledger.json").read_text())
    assert reserved["calls"] >= kept
    again.append(True)
    rerun = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert rerun.stdout.splitlines() == [f"about question {place}" for place in range(30)]
    assert len(server.bodies) == asked + 30 - kept
    spent = json.loads((tmp_path / "ledger.json").read_text())
    # What was under way is held for spent, at its upper bound.
    assert spent["input_tokens"] + spent["output_tokens"] >= 120 * 30
    everything = seen + rerun.stdout + rerun.stderr + "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert key not in everything
    assert "damaged" not in rerun.stderr
