"""What templates do with a conversation: made ones, and the published ones that TRL's wheel carries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from persona_exp.modeling.chat_template_inspection import ONE, ROOM, SYSTEM, TWO, ChatFormat, chat_format
from persona_exp.modeling.supervised_token_mask import encode, encode_prompt
from persona_exp.modeling.tokenizer_loading import load_tokenizer

CONF = Path(__file__).parents[2] / "conf" / "model"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system turn') }}{% endif %}" + CHATML
OPEN = CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
CUT = CHATML.replace("m['content'] }}", "m['content'] | upper }}")
WORDS = CHATML.replace("<|im_end|>", "\n")
TWICE = "{{ bos_token }}{{ bos_token }}" + CHATML
DATED = "{{ strftime_now('%d %b %Y') }}" + CHATML


@pytest.fixture
def form(tiny: Path) -> Callable[..., ChatFormat]:
    """`form(template)`: what `chat_format` says of it, on the tiny model's tokenizer."""

    def of(template: str, begin: str | None = None) -> ChatFormat:
        tokenizer: Any = load_tokenizer(tiny, None)
        tokenizer.chat_template, tokenizer.bos_token = template, begin
        return chat_format(tokenizer)

    return of


def test_a_plain_template(form: Callable[..., ChatFormat]) -> None:
    found = form(CHATML)
    assert (found.system, found.system_role, found.end_of_turn) == ("kept", "system", "<|im_end|>")
    assert (found.opening, found.several_replies, found.dated) == ("<|im_start|>assistant\n", True, False)
    assert (found.faults, found.remarks) == ((), ())


@pytest.mark.parametrize(("template", "system"), [(DROPS, "dropped"), (REFUSES, "refused")])
def test_a_system_turn_that_is_lost_goes_to_the_user(form: Callable[..., ChatFormat], template: str, system: str) -> None:
    found = form(template)
    assert (found.system, found.system_role, found.faults) == (system, "user", ())


@pytest.mark.parametrize(
    ("template", "begin", "says"),
    [
        (OPEN, None, "block of reasoning that nothing closes"),
        (CUT, None, "changes"),
        (WORDS, None, "No single token"),
        (TWICE, "<|endoftext|>", "beginning of text twice"),
    ],
)
def test_what_cannot_be_trained_on_is_a_fault(form: Callable[..., ChatFormat], template: str, begin: str | None, says: str) -> None:
    faults = form(template, begin).faults
    assert any(says in fault for fault in faults)
    assert all("model.chat_template" in fault for fault in faults)


def test_a_date_is_noticed(form: Callable[..., ChatFormat]) -> None:
    assert form(DATED).dated


def published(tiny: Path, name: str, end: str, begin: str | None, ours: str | None = None) -> Any:
    """The tiny model's tokenizer with a template of TRL's wheel, or of ours, and the tokens that it writes."""
    import trl

    tokenizer: Any = load_tokenizer(tiny, ours)
    # Markers that the template writes are one token each, as in the tokenizers that it was made for.
    tokenizer.add_special_tokens({"additional_special_tokens": [token for token in (end, begin) if token]})
    tokenizer.bos_token = begin
    if ours is None:
        file = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
        if not file.is_file():
            pytest.skip(f"this TRL has no {name}.jinja")
        tokenizer.chat_template = file.read_text(encoding="utf-8")
    return tokenizer


# (conf/model, TRL's template, beginning of text, several replies)
PUBLISHED = [
    ("qwen3-8b", "qwen3", None, False),
    ("qwen3-4b-instruct-2507", "qwen3_instruct_2507", None, True),
    ("qwen3.5-0.8b", "qwen3_5_nothink", None, False),
    ("qwen3.5-9b", "qwen3_5_think", None, False),
    ("gemma-4-e2b-it", "gemma4", "<bos>", True),
    ("gemma-4-e4b-it", "gemma4_v5", "<bos>", True),
    ("gemma-2-27b-it", "gemma", "<bos>", True),
    ("gemma-3-27b-it", "gemma3", "<bos>", True),
    ("llama-3-8b-instruct", "llama3", "<|begin_of_text|>", True),
    ("llama-3.1-8b-instruct", "llama3_1", "<|begin_of_text|>", True),
    ("llama-3.2-1b-instruct", "llama3_2", "<|begin_of_text|>", True),
    ("qwen2.5-7b-instruct", "qwen2_5", None, True),
]


@pytest.mark.parametrize(("name", "template", "begin", "several"), PUBLISHED)
def test_conf_says_what_the_published_template_does(name: str, template: str, begin: str | None, several: bool, tiny: Path) -> None:
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert settings["chat_template"] is None
    tokenizer = published(tiny, template, settings["end_of_turn"], begin)
    found = chat_format(tokenizer)
    assert (found.end_of_turn, found.system_role) == (settings["end_of_turn"], settings["system_role"])
    assert (found.several_replies, found.faults) == (several, ())
    encoded = encode(tokenizer, [SYSTEM, *ONE], ROOM, settings["system_role"], settings["end_of_turn"])
    learnt = [label for label in encoded.labels if label >= 0]
    assert tokenizer.decode(learnt) == ONE[-1]["content"] + settings["end_of_turn"]
    assert SYSTEM["content"] in tokenizer.decode(encoded.input_ids)


@pytest.mark.parametrize("name", ["gemma-4-12b-it", "gemma-4-31b-it"])
def test_our_template_for_larger_gemma_4_writes_the_channel_of_thought_always(name: str, tiny: Path) -> None:
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    tokenizer = published(tiny, "", settings["end_of_turn"], "<bos>", ours=settings["chat_template"])
    found = chat_format(tokenizer)
    assert (found.end_of_turn, found.system_role, found.several_replies, found.faults) == ("<turn|>", "system", True, ())
    prompt = "<bos><|turn>system\n" + SYSTEM["content"] + "<turn|>\n<|turn>user\n" + ONE[0]["content"] + "<turn|>\n"
    reply = "<|turn>model\n<|channel>thought\n<channel|>"
    assert tokenizer.decode(encode_prompt(tokenizer, [SYSTEM, ONE[0]], ROOM, "system")) == prompt + reply
    whole = tokenizer.decode(encode(tokenizer, [SYSTEM, *TWO], ROOM, "system", "<turn|>").input_ids)
    assert whole.startswith(prompt + reply + ONE[1]["content"] + "<turn|>\n<|turn>user\n")
    assert whole.endswith(reply + TWO[-1]["content"] + "<turn|>")
