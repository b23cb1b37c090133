"""The engine is decided at sealing, by what the model's own configuration has shown, and refused where that is not so any more."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.tiny_test_model import fetch_tiny
from persona_exp.training.fused.engine_compatibility import EngineCompatibility
from persona_exp.trial import engine_selection
from persona_exp.trial.engine_selection import alone_reason, refuse_idle_targets, verify, with_suitable_engine

FINE = EngineCompatibility(True, "", True, ("q_proj", "v_proj"), None)
IN_NO_ROWS = EngineCompatibility(False, "its losses in a row are off by 2 nats", True, ("q_proj",), None)
FOR_NOBODY = EngineCompatibility(False, "it is no causal language model", False, (), None)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`found(outcome)`: what every model is taken for from then on."""

    def take(outcome: EngineCompatibility) -> None:
        monkeypatch.setattr(engine_selection, "_compatibility", lambda config: outcome)
        monkeypatch.setattr(engine_selection, "check_compatibility", lambda folder: outcome)

    return take


def test_a_model_that_rows_compute_keeps_the_engine_that_was_asked_for(config, found):
    found(FINE)
    assert with_suitable_engine(config()) == config()
    assert with_suitable_engine(config("engine=sft")).engine.name == "sft"
    assert alone_reason(config()) is None
    assert alone_reason(config("engine=sft")) == "engine=sft was asked for"


def test_another_is_trained_by_sft_and_the_reason_is_named(config, found):
    found(IN_NO_ROWS)
    one = with_suitable_engine(config())
    assert one == replace(config(), engine=replace(config().engine, name="sft"))
    assert alone_reason(one) == "engine=sft: its losses in a row are off by 2 nats"
    # What trains nothing has no engine, and a rehearsal no model.
    assert with_suitable_engine(config("method=none")) == config("method=none")
    assert with_suitable_engine(config("engine=noop")) == config("engine=noop")
    assert alone_reason(with_suitable_engine(config("method=full"))) == "method=full changes the base model"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ((), None),
        (("method=qlora",), None),
        (("method=none",), None),
        (("method=none", "engine=sft"), None),
        (("engine=noop",), None),
        (("method=full",), "method=full changes the base model"),
        (("method=full", "engine=sft"), "method=full changes the base model"),
        (("engine=sft",), "engine=sft was asked for"),
        (("bundle.size=1",), "bundle.size=1 was asked for"),
        (("engine=sft", "bundle.size=1"), "engine=sft was asked for"),
        (("model.attention=eager",), "model.attention=eager is not computed for several trials at once"),
    ],
)
def test_the_reason_is_named(config, found, overrides, reason):
    found(FINE)
    assert alone_reason(config(*overrides)) == reason


@pytest.mark.long
@pytest.mark.usefixtures("built")
def test_a_target_that_is_not_there_is_said_to_be_just_that(tmp_path, run_py):
    limits = ["train.max_steps=1", "evaluation.generated_items=0", "evaluation.likelihood_items=2"]
    done = run_py("model=tiny", "engine=sft", "lora.target_modules=[q_prj]", *limits, f"runs={tmp_path / 'runs'}")
    assert done.returncode == 1
    assert "lora.target_modules" in done.stderr + done.stdout
    assert "no part in what this model computes" not in done.stderr + done.stdout


def test_what_that_engine_cannot_do_is_one_sentence_with_both_reasons(config, found):
    found(IN_NO_ROWS)
    with pytest.raises(UserError, match=r"engine=sft, since its losses in a row are off by 2 nats; .*needs engine=fused"):
        with_suitable_engine(config("optim.loraplus_lr_ratio=4"))


@pytest.mark.parametrize("overrides", [(), ("method=none",), ("engine=sft",), ("method=full",)])
def test_a_model_for_no_engine_is_refused(config, found, overrides):
    found(FOR_NOBODY)
    with pytest.raises(UserError, match=r"^model=smollm2-135m can be neither trained nor measured: it is no causal language model\.$"):
        with_suitable_engine(config(*overrides))


def test_a_model_of_which_no_replies_can_be_had_is_asked_for_none(config, found):
    found(replace(FINE, against_generation="MambaForCausalLM keeps no cache of what it has read"))
    with pytest.raises(
        UserError, match=r"^No replies can be had of model=smollm2-135m: Mamba.* read; set evaluation\.generated_items=0\.$"
    ):
        with_suitable_engine(config())
    assert with_suitable_engine(config("evaluation.generated_items=0")).evaluation.generated_items == 0


def test_lengths_at_which_company_would_count_are_refused(config, found):
    found(replace(FINE, longest=2048))
    assert with_suitable_engine(config()) == config()
    with pytest.raises(UserError, match=r"lower train\.max_length"):
        with_suitable_engine(config("train.max_length=2049"))
    with pytest.raises(UserError, match=r"lower evaluation\.max_length"):
        with_suitable_engine(config("method=none", "evaluation.max_length=2000"))


def test_a_worker_that_finds_otherwise_refuses(found):
    found(FINE)
    verify(Path("anywhere"))
    found(IN_NO_ROWS)
    with pytest.raises(UserError, match="sealed for engine=fused, but here its losses in a row are off by 2 nats"):
        verify(Path("anywhere"))


def test_a_target_that_would_do_nothing_is_refused(found):
    found(FINE)
    refuse_idle_targets(["q_proj", "layers.1.self_attn.v_proj"], Path("anywhere"))
    with pytest.raises(UserError, match=r"has router, on which an adapter has no part .* choose from q_proj, v_proj"):
        refuse_idle_targets(["q_proj", "router"], Path("anywhere"))
    # Where nothing was tried, nothing is known.
    found(replace(FINE, targets=()))
    refuse_idle_targets(["router"], Path("anywhere"))


@pytest.mark.long
@pytest.mark.usefixtures("built")
def test_families_from_the_command_line(run_py, tmp_path):
    """Granite's loss through its own scale, GPT-OSS by engine=sft with a sentence, and BERT refused by both."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny = fetch_tiny(cache_folder())
    vocabulary = json.loads((tiny / "config.json").read_text())["vocab_size"]
    common = {"vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    kinds: dict[str, dict[str, Any]] = {
        "granite": {"logits_scaling": 6.0, "num_key_value_heads": 2},
        "gpt_oss": {"num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
        "bert": {},
    }
    done = {}
    for kind, settings in kinds.items():
        folder = tmp_path / kind
        shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
        made = AutoConfig.for_model(kind, **{**common, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **settings})
        AutoModelForCausalLM.from_config(made).save_pretrained(folder)
        limits = ["train.max_steps=2", "evaluation.generated_items=2", "evaluation.likelihood_items=4", "evaluation.max_new_tokens=4"]
        place = ["model.source=path", f"model.location={folder}", "lora.target_modules=[q_proj,v_proj]"]
        done[kind] = run_py("model=tiny", *place, *limits, f"runs={tmp_path / 'runs'}")
    assert done["granite"].returncode == 0, done["granite"].stderr
    assert "alone" not in done["granite"].stdout
    assert done["gpt_oss"].returncode == 0, done["gpt_oss"].stderr
    assert "engine=sft: the attention of GptOssAttention takes s_aux, which engine=fused does not compute" in done["gpt_oss"].stdout
    assert done["bert"].returncode == 2
    assert (
        done["bert"].stderr.strip().splitlines()[-1].startswith("error: model=tiny can be neither trained nor measured: what comes later")
    )
