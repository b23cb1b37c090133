"""`persona-exp model check`: folders that lack weights, made on the spot; what the probe answers is given."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from persona_exp.cli.commands import model
from persona_exp.config.schema.model import Model
from persona_exp.modeling.model_source import fetch
from tests.cli.conftest import compare

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
OPEN = CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
HYBRID = {
    "model_type": "granitemoehybrid",
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "shared_intermediate_size": 512,
    "mamba_n_heads": 8,
    "layer_types": ["mamba", "attention"],
    "num_local_experts": 0,
}


@dataclass(frozen=True)
class Answer:
    fused: bool = True
    reason: str = ""
    trainable: bool = True
    targets: tuple[str, ...] = ()
    longest: int | None = None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch("tiny", "tiny", None, None, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """What the probe answers; fused by default."""
    stands_in: Any = ModuleType("persona_exp.training.fused.engine_compatibility")
    monkeypatch.setitem(sys.modules, stands_in.__name__, stands_in)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "1000")

    def answers(answer: Answer) -> None:
        stands_in.engine_compatibility = lambda folder: answer

    answers(Answer())
    return answers


@pytest.fixture
def folder(tiny: Path, tmp_path: Path, probe: Callable[[Answer], None]) -> Callable[..., Path]:
    """`folder(template, hidden_size=128)`: a model's folder without weights."""

    def made(template: str | None = CHATML, **changed: Any) -> Path:
        path = tmp_path / "My Model"
        shutil.copytree(tiny, path, ignore=shutil.ignore_patterns("*.safetensors", "chat_template.jinja"))
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, **changed}))
        settings = json.loads((path / "tokenizer_config.json").read_text())
        settings.pop("chat_template", None)
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
        if template is not None:
            (path / "chat_template.jinja").write_text(template)
        return path

    return made


def compared(name: str, text: str, tmp_path: Path) -> None:
    """The estimate's figures are held by its own tests."""
    text = re.sub(r"about .* in 16 bits, .* with NF4", "about A in 16 bits, B with NF4", text.replace(str(tmp_path), "/models"))
    compare(name, text)


def marked(answer: dict[str, Any], mark: str) -> dict[str, str]:
    return {check["name"]: check["found"] for check in answer["checks"] if check["mark"] == mark}


def test_a_folder_without_weights(persona_exp: Any, folder: Any, tmp_path: Path) -> None:
    code, out, complaints = persona_exp("model", "check", str(folder()))
    assert (code, complaints) == (0, "")
    compared("model-check", out, tmp_path)


def test_a_template_that_drops_the_system_turn_and_a_model_for_sft(persona_exp: Any, folder: Any, probe: Any, tmp_path: Path) -> None:
    probe(Answer(fused=False, reason="a document changes the losses of others in its row"))
    code, out, _ = persona_exp("model", "check", str(folder(DROPS)))
    assert code == 0
    compared("model-check-drops-system", out, tmp_path)


def test_what_neither_engine_can_train(persona_exp: Any, folder: Any, tmp_path: Path) -> None:
    code, out, _ = persona_exp("model", "check", str(folder(OPEN, quantization_config={"quant_method": "fp8"})))
    assert "# python run.py" not in out
    assert code == 1
    compared("model-check-fails", out, tmp_path)


def test_json_has_the_config_that_the_schema_takes(persona_exp: Any, folder: Any, probe: Any) -> None:
    probe(Answer(longest=4096))
    code, out, _ = persona_exp("model", "check", str(folder()), "--json")
    answer = json.loads(out)
    assert (code, answer["trainable"], answer["saved"]) == (0, True, None)
    assert marked(answer, "ok")["engine"] == "fused, conversations of up to 4,096 tokens"
    assert yaml.safe_load(answer["yaml"]) == answer["config"]
    assert Model(**answer["config"]).name == "my-model"


def test_a_model_that_no_engine_computes_rightly_is_not_to_be_trained(persona_exp: Any, folder: Any, probe: Any) -> None:
    probe(Answer(fused=False, trainable=False, reason="its losses depend on the padding"))
    code, out, _ = persona_exp("model", "check", str(folder()), "--json")
    assert (code, json.loads(out)["config"]) == (1, None)
    assert marked(json.loads(out), "fail")["engine"].endswith("plain transformers do: its losses depend on the padding")


def test_a_projection_without_a_part_in_the_result_is_no_target(persona_exp: Any, folder: Any, probe: Any) -> None:
    probe(Answer(targets=("q_proj", "v_proj", "up_proj")))
    _, out, _ = persona_exp("model", "check", str(folder()), "--json")
    assert json.loads(out)["config"]["target_modules"] == ["q_proj", "v_proj", "up_proj"]
    assert "k_proj: an adapter on it changes nothing" in marked(json.loads(out), "ok")["targets"]


def test_a_tokenizer_without_a_template_gets_ours(persona_exp: Any, folder: Any) -> None:
    code, out, _ = persona_exp("model", "check", str(folder(None)), "--json")
    answer = json.loads(out)
    assert (code, answer["config"]["chat_template"]) == (0, "plain")
    assert "none of its own" in marked(answer, "warn")["template"]
    assert answer["config"]["end_of_turn"] == "<|im_end|>"


def test_another_template_can_be_asked_for(persona_exp: Any, folder: Any) -> None:
    path = folder(OPEN)
    assert persona_exp("model", "check", str(path))[0] == 1
    code, out, _ = persona_exp("model", "check", str(path), "--chat-template", "chatml", "--json")
    assert (code, json.loads(out)["config"]["chat_template"]) == (0, "chatml")
    code, _, complaints = persona_exp("model", "check", str(path), "--chat-template", "nothing")
    assert (code, complaints.count("\n")) == (2, 1)


def test_a_hybrid_has_its_weights_counted_and_no_more(persona_exp: Any, folder: Any) -> None:
    code, out, _ = persona_exp("model", "check", str(folder(hidden_size=256, num_attention_heads=4, **HYBRID)), "--json")
    answer, warned = json.loads(out), marked(json.loads(out), "warn")
    assert code == 0
    assert "what training adds is not known for granitemoehybrid" in warned["memory"]
    assert "NF4" in warned
    assert "out_proj" not in answer["config"]["target_modules"]


@pytest.mark.parametrize("kind", ["of-tomorrow", "vit"])
def test_an_architecture_that_transformers_does_not_train_is_one_sentence(persona_exp: Any, folder: Any, kind: str) -> None:
    code, out, _ = persona_exp("model", "check", str(folder(model_type=kind)))
    assert (code, out.count("\n")) == (1, 1)
    assert out.startswith("fail  architecture  transformers ")


def test_a_name_of_conf_is_held_against_what_is_found(persona_exp: Any, probe: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONA_EXP_CACHE", str(tiny.parent))
    code, out, _ = persona_exp("model", "check", "tiny")
    assert code == 0
    assert "ok    conf/model    says what was found\n" in out
    assert "# python run.py" not in out
    stated = {"system_role": "user", "end_of_turn": "<|im_end|>", "target_modules": ["q_proj", "qkv_proj"]}
    checks, _ = model.examine(model.NamedModel("tiny", "tiny", "tiny", stated=stated))
    assert (checks[-1].mark, checks[-1].found) == ("fail", "says system_role=user, not system; target_modules with qkv_proj")


def test_of_a_hub_repository_only_its_description_is_asked_for(
    persona_exp: Any, folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from persona_exp.modeling import hub_download

    asked = []
    path = folder()
    monkeypatch.setattr(hub_download, "fetch_description", lambda repository, revision: asked.append((repository, revision)) or path)
    code, out, _ = persona_exp("model", "check", "maker/Model-7B", "--revision", "main", "--json")
    assert (code, asked) == (0, [("maker/Model-7B", "main")])
    config = json.loads(out)["config"]
    assert (config["name"], config["source"], config["location"], config["revision"]) == ("model-7b", "hub", "maker/Model-7B", "main")


def test_the_config_is_saved_once(persona_exp: Any, folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model, "MODELS", tmp_path / "conf")
    (tmp_path / "conf").mkdir()
    path = str(folder())
    code, out, _ = persona_exp("model", "check", path, "--save", "mine")
    saved = tmp_path / "conf" / "mine.yaml"
    assert code == 0
    assert out.endswith(f"Saved as {saved}.\n")
    assert saved.read_text().startswith("# python run.py model=mine\n")
    assert yaml.safe_load(saved.read_text())["name"] == "mine"
    code, _, complaints = persona_exp("model", "check", path, "--save", "mine")
    assert (code, "mine.yaml exists" in complaints) == (2, True)


@pytest.mark.parametrize(
    ("location", "template", "tuned"),
    [("maker/Model-7B-Instruct", CHATML, "instruct"), ("maker/model-7b-it", None, "instruct"), ("maker/Model-7B-pt", CHATML, "base"),
     ("maker/Model-7B", None, "base"), ("maker/Model-7B", CHATML, None)],
)  # fmt: skip
def test_a_new_config_says_of_the_model_what_can_be_known(
    folder: Any, monkeypatch: pytest.MonkeyPatch, location: str, template: str | None, tuned: str | None
) -> None:
    from persona_exp.modeling import hub_download

    path = folder(template)
    monkeypatch.setattr(hub_download, "fetch_description", lambda repository, revision: path)
    _, config = model.examine(model.NamedModel("mine", "hub", location))
    assert config is not None
    assert (config["family"], config["tuned"]) == (None, tuned)
    assert 1e-5 < config["parameters_b"] < 1e-2


def test_what_cannot_be_trained_is_not_saved(persona_exp: Any, folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model, "MODELS", tmp_path / "conf")
    (tmp_path / "conf").mkdir()
    assert persona_exp("model", "check", str(folder(OPEN)), "--save", "mine")[0] == 1
    assert not list((tmp_path / "conf").iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "nothing is no folder, no hub repository (owner/name), and none of conf/model:"),
        (("tests",), "holds no config.json"),
        (("tiny", "--save", "a/b"), "--save a/b is no name for a config"),
    ],
)
def test_a_mistake_is_one_sentence(persona_exp: Any, probe: Any, arguments: tuple[str, ...], says: str) -> None:
    code, out, complaints = persona_exp("model", "check", *arguments)
    assert (code, out, complaints.count("\n")) == (2, "", 1)
    assert says in complaints


def test_a_folder_without_a_tokenizer_is_one_sentence(persona_exp: Any, folder: Any) -> None:
    path = folder()
    for file in path.glob("tokenizer*"):
        file.unlink()
    code, _, complaints = persona_exp("model", "check", str(path))
    assert (code, complaints.count("\n"), "holds no tokenizer" in complaints) == (2, 1, True)
