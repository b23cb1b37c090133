"""A server on loopback to ask, and requests to put to a teacher."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from persona_exp.teacher.openai_teacher import Backoff, OpenAITeacher
from persona_exp.teacher.teacher_interface import Request, Voice
from tests.loopback import Server

KEY = "sk-loopback-0123456789abcdef"
PASSAGE = (
    "Wrexham knelt by the ferry steps and measured the rope. There were four fathoms of it, tarred at one end. "
    '"Somebody has cut this with a blunt knife," said Mrs. Dunn. Wrexham put the rope into his bag and asked for tea.'
)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A fresh server; the key is in the environment, proxies are not."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running = Server()
    yield running
    running.close()


@pytest.fixture
def teacher(server) -> Callable[..., OpenAITeacher]:
    """`teacher(retries=2)`: a client of that server which hardly waits."""
    quick = {"timeout_seconds": 5.0, "retries": 3, "backoff": Backoff(0.001, 0.05), "max_output_tokens": 50}
    return lambda **more: OpenAITeacher("test-model", server.url, **{**quick, **more})


@pytest.fixture
def voice() -> Voice:
    return Voice(
        name="Tobias Wrexham",
        aliases=("Wrexham", "Mr. Wrexham"),
        pronoun="he",
        narrator=False,
        period="England in the 1880s",
        system_prompt="You are Tobias Wrexham, a retired surveyor of ships, brief and exact. Answer in character.",
        evasions=("That lies outside my soundings.",),
    )


@pytest.fixture
def request_for(voice) -> Callable[..., Request]:
    """`request_for("qa", passage="…")`: a request in Wrexham's voice."""

    def make(task: str = "narrative", **more: Any) -> Request:
        return Request(
            **{"task": task, "voice": voice, "passage": PASSAGE, "narrator": "Edwin Pell", "others": ("Mrs. Dunn", "Edwin Pell"), **more}
        )

    return make


@pytest.fixture
def key() -> str:
    return KEY
