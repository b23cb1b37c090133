"""The client against a real server that misbehaves in every way it knows."""

import email.utils
import json
import time
from threading import Event

import pytest

from persona_exp.errors import UserError
from persona_exp.teacher.chat_completions_client import seconds_asked
from persona_exp.teacher.openai_teacher import Backoff, OpenAITeacher
from persona_exp.teacher.token_and_money_budget import Budget, BudgetSpent, most_tokens

MESSAGES = [{"role": "user", "content": "What did you find?"}]


def ask(client, budget=None):
    return client.complete(MESSAGES, budget or Budget(), Event())


def test_what_is_sent(server, teacher, key):
    completion = ask(teacher(seed=7))
    assert completion.finish == "stop"
    assert (completion.input_tokens, completion.output_tokens) == (100, 20)
    sent = {"model": "test-model", "messages": MESSAGES, "stream": False, "temperature": 0.0, "seed": 7, "max_tokens": 50}
    assert server.bodies == [sent]
    assert server.headers[0]["authorization"] == f"Bearer {key}"
    assert server.headers[0]["path"] == "/v1/chat/completions"


PASSING = {
    "429": lambda server: (429, {"Retry-After": "0"}, b'{"error": {"message": "slow down"}}'),
    "429 without a body": lambda server: (429, {}, b""),
    "429 with a date": lambda server: (429, {"Retry-After": email.utils.formatdate(time.time() - 5, usegmt=True)}, b""),
    "429 with nonsense": lambda server: (429, {"Retry-After": "soon"}, b""),
    "500": lambda server: (500, {}, b"oops"),
    "502": lambda server: (502, {}, b"<html>Bad gateway</html>"),
    "503": lambda server: (503, {"Retry-After": "0.01"}, b""),
    "504": lambda server: (504, {}, b""),
    "cut": lambda server: None,
    "late": lambda server: (0.5, server.answer("too late")),
    "garbage": lambda server: (200, {}, b"\x00\xff\xfe garbage"),
    "no JSON": lambda server: (200, {}, b"<html>login</html>"),
    "cut JSON": lambda server: (200, {}, server.answer()[2][:40]),
    "empty": lambda server: (200, {}, b""),
    "other JSON": lambda server: (200, {}, b'{"object": "list", "data": []}'),
    "null": lambda server: (200, {}, b"null"),
    "no choices": lambda server: (200, {}, b'{"choices": []}'),
    "odd content": lambda server: (200, {}, b'{"choices": [{"message": {"content": 7}}]}'),
    "nested": lambda server: (200, {}, b"[" * 100_000),
    "bad compression": lambda server: (200, {"Content-Encoding": "gzip"}, b"not gzip"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_faults_that_pass_are_tried_again(server, teacher, fault):
    server.behave = lambda number, body: PASSING[fault](server) if number < 2 else server.answer("at last")
    assert ask(teacher(timeout_seconds=0.15 if fault == "late" else 5.0)).text == "at last"
    assert len(server.bodies) == 3


@pytest.mark.parametrize("fault", ["500", "429", "cut", "garbage"])
def test_faults_that_stay_end_in_one_sentence(server, teacher, fault, key):
    server.behave = lambda number, body: PASSING[fault](server)
    with pytest.raises(UserError, match=r"failed 3 times over .*teacher\.retries") as raised:
        ask(teacher(retries=2))
    assert len(server.bodies) == 3
    assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (400, "check teacher.model"),
        (401, "OPENAI_API_KEY"),
        (403, "OPENAI_API_KEY"),
        (404, "correct teacher.model, or teacher.base_url"),
        (402, "top it up"),
        (413, "check teacher.model"),
        (307, "set teacher.base_url"),
    ],
)
def test_refusals_are_not_tried_again_and_name_the_fix(server, teacher, status, fix, key):
    words = json.dumps({"error": {"message": f"no, not with {key}\x1b[31m"}}).encode()
    server.behave = lambda number, body: (status, {"Location": "http://127.0.0.1:1/v1"}, words)
    with pytest.raises(UserError, match=fix) as raised:
        ask(teacher())
    assert len(server.bodies) == 1
    assert key not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_an_empty_account_is_not_tried_again(server, teacher):
    server.behave = lambda number, body: (429, {}, b'{"error": {"code": "insufficient_quota", "message": "quota"}}')
    with pytest.raises(UserError, match="top it up"):
        ask(teacher())
    assert len(server.bodies) == 1


def test_the_server_is_given_the_time_it_asks_for_up_to_a_limit(server, teacher):
    server.behave = lambda number, body: (429, {"Retry-After": "3600"}, b"") if not number else server.answer()
    started = time.monotonic()
    ask(teacher(backoff=Backoff(0.001, 0.3)))
    assert 0.3 <= time.monotonic() - started < 1000  # Not the hour that it asks for.


@pytest.mark.parametrize(("header", "seconds"), [(None, None), ("", None), ("2.5", 2.5), ("-3", 0.0), ("soon", None), ("nan", None)])
def test_seconds_asked(header, seconds):
    assert seconds_asked(header) == seconds


def test_seconds_asked_by_date():
    assert 50 < seconds_asked(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60


def test_a_server_that_drips_is_left(server, teacher):
    class Drip(bytes):
        """Sent in pieces by the handler below."""

    def drip(handler):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        server.bodies.append({})
        handler.send_response(200)
        handler.send_header("Content-Length", "12000")
        handler.end_headers()
        for _ in range(1200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    server.handle = drip
    started = time.monotonic()
    with pytest.raises(UserError, match=r"no complete answer in 0\.2 s"):
        ask(teacher(timeout_seconds=0.2, retries=0))
    assert time.monotonic() - started < 30  # All of it takes a minute.


def test_nobody_there(server, teacher):
    client = OpenAITeacher("m", "http://127.0.0.1:9/v1", retries=1, backoff=Backoff(0.001))
    budget = Budget()
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/v1 failed 2 times over"):
        ask(client, budget)
    assert budget.spent().tokens == 0  # What was never sent costs nothing.


def test_mistral_calls_the_seed_otherwise(server, teacher, capsys):
    def behave(number, body):
        if "seed" in body:
            return 422, {}, b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}'
        return server.answer()

    server.behave = behave
    client = teacher(seed=5)
    ask(client)
    ask(client)
    assert [body.get("random_seed") for body in server.bodies] == [None, 5, 5]
    assert "seed is sent as random_seed" in capsys.readouterr().err


def test_reasoning_models_have_names_of_their_own(server, teacher):
    def behave(number, body):
        if "max_tokens" in body:
            return 400, {}, b'{"error": {"message": "Unsupported parameter: max_tokens. Use max_completion_tokens instead."}}'
        if "temperature" in body:
            return 400, {}, b'{"error": {"message": "Unsupported value: temperature does not support 0 with this model."}}'
        return server.answer()

    server.behave = behave
    budget = Budget()
    ask(teacher(), budget)
    assert server.bodies[-1]["max_completion_tokens"] == 50
    assert "temperature" not in server.bodies[-1]
    assert budget.spent().calls == 1


def test_a_wrong_value_is_the_users_to_mend(server, teacher):
    server.behave = lambda number, body: (400, {}, b'{"error": {"message": "temperature must be at most 2"}}')
    with pytest.raises(UserError, match="temperature must be at most 2"):
        ask(teacher(temperature=9.0))
    assert len(server.bodies) == 1


def test_keys(server, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "  other-key-123456 \n")
    ask(OpenAITeacher("m", server.url, api_key_variable="OTHER_KEY"))
    ask(OpenAITeacher("m", server.url, api_key_variable=None))
    ask(OpenAITeacher("m", server.url, api_key_variable="NOT_SET_AT_ALL"))
    assert [headers.get("authorization") for headers in server.headers] == ["Bearer other-key-123456", None, None]
    monkeypatch.setenv("OTHER_KEY", "bad\nkey-secret")
    with pytest.raises(UserError, match="OTHER_KEY") as raised:
        ask(OpenAITeacher("m", server.url, api_key_variable="OTHER_KEY"))
    assert "secret" not in str(raised.value)
    with pytest.raises(UserError, match="put it into NOT_SET_AT_ALL"):
        ask(OpenAITeacher("m", "https://127.0.0.1:9/v1", api_key_variable="NOT_SET_AT_ALL"))


def test_the_address_may_come_from_the_environment_and_through_a_proxy(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/chat/completions/")
    ask(OpenAITeacher("m"))
    assert server.headers[-1]["path"] == "/v1/chat/completions"
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    ask(OpenAITeacher("m", "http://teacher.invalid/v1"))
    assert server.headers[-1]["path"] == "http://teacher.invalid/v1/chat/completions"


def test_neither_key_nor_password_is_shown(server, teacher, key):
    client = teacher()
    ask(client)
    assert key not in repr(client)
    assert key not in repr(vars(client))
    assert key not in json.dumps(client.identity())
    with pytest.raises(UserError) as raised:
        ask(OpenAITeacher("m", "http://user:hunter22@127.0.0.1:9/v1", retries=0))
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x/v1", "http://", "/v1"])
def test_addresses_that_are_none(url):
    with pytest.raises(UserError, match=r"teacher\.base_url must look like"):
        ask(OpenAITeacher("m", url))


def test_a_repeated_key_is_blotted_out(server, teacher, key):
    server.behave = lambda number, body: server.answer(f"your key is {key}")
    assert ask(teacher()).text == "your key is [key]"


def test_unusual_answers(server, teacher):
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "spoken"}]
    server.behave = lambda number, body: server.answer(parts)
    assert ask(teacher()).text == "spoken"
    server.behave = lambda number, body: server.answer(None, message={"content": None, "refusal": "I will not."})
    assert ask(teacher()).text == "I will not."
    server.behave = lambda number, body: server.answer("half \ud83d of a pair")
    assert ask(teacher()).text == "half ? of a pair"
    server.behave = lambda number, body: (400, {}, b'{"error": {"code": "content_filter", "message": "filtered"}}')
    assert ask(teacher()).finish == "content_filter"


def test_failed_attempts_are_paid_for_and_refused_ones_are_not(server, teacher):
    bound = most_tokens(MESSAGES) + 50
    for fault, paid in (("500", 2), ("cut", 2), ("garbage", 2), ("429", 0)):
        server.bodies.clear()
        server.behave = lambda number, body, fault=fault: PASSING[fault](server) if number < 2 else server.answer()
        budget = Budget()
        ask(teacher(), budget)
        assert budget.spent().tokens == paid * bound + 120, fault
    budget = Budget(max_tokens=bound * 2)
    server.behave = lambda number, body: PASSING["500"](server)
    server.bodies.clear()
    with pytest.raises(BudgetSpent):
        ask(teacher(), budget)
    assert len(server.bodies) == 2


def test_identity_tells_what_changes_answers_and_not_where_they_come_from():
    one = OpenAITeacher("a", "http://127.0.0.1:1/v1").identity()
    assert one == OpenAITeacher("a", "http://127.0.0.1:2/v1", timeout_seconds=5).identity()
    for other in (
        OpenAITeacher("b"),
        OpenAITeacher("a", temperature=0.5),
        OpenAITeacher("a", seed=1),
        OpenAITeacher("a", max_output_tokens=9),
    ):
        assert other.identity() != one
    assert len(one["prompts"]) == 64
