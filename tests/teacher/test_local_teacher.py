"""A model in this process: a random one, whose words mean nothing but are always the same."""

import json
import shutil
from threading import Event

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.model_source import fetch
from persona_exp.teacher.concurrent_calls import TeacherCalls
from persona_exp.teacher.llm_attribution import Scene, ask_speakers
from persona_exp.teacher.local_teacher import LocalTeacher
from persona_exp.teacher.token_and_money_budget import Budget, BudgetSpent

MESSAGES = [{"role": "user", "content": "What of the rope?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fetch("tiny", "tiny", None, None, tmp_path_factory.mktemp("cache"))


def test_greedy_counted_and_paid_for(folder):
    budget = Budget()
    one = LocalTeacher(str(folder), max_output_tokens=8)
    first, second = (one.complete(MESSAGES, budget, Event()) for _ in range(2))
    assert first == second == LocalTeacher(str(folder), max_output_tokens=8).complete(MESSAGES, Budget(), Event())
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
    answers = [LocalTeacher(str(where), max_output_tokens=12).complete(MESSAGES, Budget(), Event()).text for where in (folder, other)]
    assert answers[0] == answers[1]


def test_the_model_is_known_by_its_content(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / ".hidden").write_text("a tool's own")
    assert LocalTeacher(str(other)).identity() == LocalTeacher(str(folder)).identity()
    assert LocalTeacher(str(other), 9).identity() != LocalTeacher(str(folder)).identity()
    with (other / "config.json").open("a") as file:
        file.write("\n")
    assert LocalTeacher(str(other)).identity() != LocalTeacher(str(folder)).identity()


def test_answers_are_kept(folder, tmp_path):
    scene = Scene('[1] "The rope," said Mrs. Dunn.', 1, ("Mrs. Dunn",))
    for _ in range(2):
        assert ask_speakers(TeacherCalls(LocalTeacher(str(folder), 8), tmp_path, Budget(), 2), [scene]) == [[None]]
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_what_cannot_be_loaded(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"neither a model's folder nor .*hf download nobody/nothing"):
        LocalTeacher("nobody/nothing").settings()
    with pytest.raises(UserError, match="neither a model's folder"):
        LocalTeacher(str(tmp_path)).settings()
    with pytest.raises(UserError, match=r"reads .* tokens"):
        LocalTeacher(str(folder), 10**6).complete(MESSAGES, Budget(), Event())
