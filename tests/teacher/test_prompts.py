"""The prompt files: what they hold, that nothing is left undefined, their digest."""

import jinja2
import pytest

from persona_exp.errors import UserError
from persona_exp.teacher import prompts

ABOUT = {"contrast": ("absent", "other", "the telephone exchange")}


@pytest.mark.parametrize("task", prompts.FILES)
def test_a_prompt_holds_all_that_the_model_must_know(request_for, voice, task):
    for about in ABOUT.get(task, ("",)):
        request = request_for(task, user="What of the rope?", reply="It is cut, madam.", about=about, count=3)
        (message,) = prompts.render(request)
        text = message["content"]
        assert message["role"] == "user"
        for part in (voice.name, voice.period, voice.system_prompt, '{"examples": [{"user":', "Mrs. Dunn", "first person"):
            assert part in text, part
        assert (request.passage in text) == ("THE PASSAGE" in text or "STANDS" in text)
        assert "{{" not in text
        assert "{%" not in text


def test_prompts_change_with_what_is_asked(request_for, voice):
    narrator = {"voice": voice.__class__(**{**vars(voice), "narrator": True}), "narrator": None}
    assert "is Edwin Pell, not Tobias Wrexham: call that person by name" in prompts.render(request_for())[0]["content"]
    assert 'narration is Tobias Wrexham: it stays "I"' in prompts.render(request_for(**narrator))[0]["content"]
    assert "Write 4 questions that" in prompts.render(request_for("qa", count=4))[0]["content"]
    assert "Write 1 question that" in prompts.render(request_for("qa"))[0]["content"]
    later = prompts.render(request_for("contrast", passage="", about="the wireless"))[0]["content"]
    assert "had not" not in later
    assert "the wireless" in later
    assert "THE PASSAGE" not in later


def test_unknown_task(request_for):
    with pytest.raises(UserError, match="There is no prompt for dialogue"):
        prompts.render(request_for("dialogue"))


def test_nothing_may_stay_undefined(request_for):
    template = prompts._environment().get_template(prompts.FILES["qa"])
    with pytest.raises(jinja2.UndefinedError):
        template.render(voice=request_for().voice)


def test_the_digest_covers_the_files_used_and_their_parts(monkeypatch, tmp_path):
    whole, one, speakers = prompts.digest(), prompts.digest(prompts.FILES["qa"]), prompts.digest(prompts.SPEAKERS)
    for file in prompts.FOLDER.glob("*.jinja"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "unused.jinja").write_text("nothing")
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)

    def digests():
        prompts.digest.cache_clear()
        return prompts.digest(), prompts.digest(prompts.FILES["qa"]), prompts.digest(prompts.SPEAKERS)

    assert digests() == (whole, one, speakers)
    (tmp_path / "form.v1.jinja").write_text("Another form.")
    changed = digests()
    assert changed[0] != whole
    assert changed[1] != one
    assert changed[2] == speakers
    prompts.digest.cache_clear()


def test_every_file_is_used_and_none_is_missing():
    used = set(prompts._with_parts((*prompts.FILES.values(), prompts.SPEAKERS)))
    assert used == {file.name for file in prompts.FOLDER.glob("*.jinja")}
