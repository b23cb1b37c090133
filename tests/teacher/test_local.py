"""A model in this process: a random one, whose words mean nothing but are always the same."""

import json
import shutil
from threading import Event

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.source import fetch
from persona_exp.teacher.budget import Budget, BudgetSpent
from persona_exp.teacher.completion import LanguageModel
from persona_exp.teacher.local import Local
from persona_exp.teacher.speakers import Scene, ask_speakers

MESSAGES = [{"role": "user", "content": "What of the rope?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fetch("tiny", "tiny", None, None, tmp_path_factory.mktemp("cache"))


def test_greedy_counted_and_paid_for(folder):
    budget = Budget()
    one = Local(str(folder), max_output_tokens=8)
    first, second = (one.complete(MESSAGES, budget, Event()) for _ in range(2))
    assert isinstance(one, LanguageModel)
    assert first == second == Local(str(folder), max_output_tokens=8).complete(MESSAGES, Budget(), Event())
    assert first.finish == "length"
    assert first.output_tokens == 8
    assert budget.spent().tokens == 2 * (first.input_tokens + 8)
    with pytest.raises(BudgetSpent):
        one.complete(MESSAGES, Budget(max_tokens=first.input_tokens + 7), Event())


def test_the_models_own_sampling_has_no_say(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    file = other / "generation_config.json"
    held = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**held, "do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0}))
    answers = [Local(str(where), max_output_tokens=12).complete(MESSAGES, Budget(), Event()).text for where in (folder, other)]
    assert answers[0] == answers[1]


def test_the_model_is_known_by_its_content(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / ".hidden").write_text("a tool's own")
    assert Local(str(other)).identity() == Local(str(folder)).identity()
    assert Local(str(other), 9).identity() != Local(str(folder)).identity()
    with (other / "config.json").open("a") as file:
        file.write("\n")
    assert Local(str(other)).identity() != Local(str(folder)).identity()


def test_answers_are_kept(folder, tmp_path):
    scene = Scene('[1] "The rope," said Mrs. Dunn.', 1, ("Mrs. Dunn",))
    for _ in range(2):
        assert ask_speakers(Local(str(folder), 8), [scene], cache=tmp_path, budget=Budget(), concurrency=2) == [[None]]
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_what_cannot_be_loaded(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"neither a model's folder nor .*hf download nobody/nothing"):
        Local("nobody/nothing").settings()
    with pytest.raises(UserError, match="neither a model's folder"):
        Local(str(tmp_path)).settings()
    with pytest.raises(UserError, match=r"reads .* tokens"):
        Local(str(folder), 10**6).complete(MESSAGES, Budget(), Event())
