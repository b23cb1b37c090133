import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.modeling.chat_template import end_of_turn_id, place_system, render
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL, DoesNotFit, encode, encode_prompt, encoded_length
from persona_exp.modeling.tokenizer_loading import load_tokenizer

END = "<|im_end|>"
SYSTEM = {"role": "system", "content": "You are Sherlock Holmes."}
CONVERSATION = [SYSTEM, {"role": "user", "content": "How did you know, Holmes?"}, {"role": "assistant", "content": "It was simple."}]
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n\n{{ m['content'] | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "<|im_start|>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' if m['role'] == 'user' else m['content'] + '<|im_end|>' }}{% endfor %}"
)
WITHOUT_SYSTEM = (
    "{% for m in messages if m['role'] != 'system' %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHOUTED = WITHOUT_SYSTEM.replace(" if m['role'] != 'system'", "").replace(
    "m['content']", "(m['content'] | upper if m['role'] == 'system' else m['content'])"
)
QWEN_3 = (  # The empty think block stands before the last reply alone, and in the prompt if thinking is off.
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if loop.last and m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def supervised(encoded) -> list[int]:
    return [label for label in encoded.labels if label != IGNORED_LABEL]


@pytest.fixture
def tokenizer_with(tiny):
    """`tokenizer_with("plain")` or with the text of a template."""

    def make(template: str):
        if "{" not in template:
            return load_tokenizer(tiny, template)
        tokenizer = load_tokenizer(tiny, None)
        tokenizer.chat_template = template
        return tokenizer

    return make


@pytest.mark.parametrize("template", ["chatml", "plain", LLAMA_3, GEMMA, QWEN_3])
@pytest.mark.parametrize("role", ["system", "user"])
def test_exactly_the_reply_and_its_end_are_supervised(tokenizer_with, template: str, role: str) -> None:
    if template == GEMMA and role == "system":
        pytest.skip("this template refuses a system turn")
    tokenizer = tokenizer_with(template)
    encoded = encode(tokenizer, CONVERSATION, 500, role, END)
    assert tokenizer.decode(supervised(encoded)) == "It was simple." + END
    assert (encoded.shortened, encoded.cut) == (False, False)
    # What is not supervised is the prompt of generation, token by token.
    prompt = encode_prompt(tokenizer, CONVERSATION[:-1], 500, role)
    assert encoded.input_ids[: len(prompt)] == prompt
    assert encoded.labels == [IGNORED_LABEL] * len(prompt) + encoded.input_ids[len(prompt) :]
    assert encoded.input_ids[-1] == end_of_turn_id(tokenizer, END)


CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, min_size=1, max_size=60).filter(lambda text: text.strip() and "<|" not in text)


@settings(max_examples=200, deadline=None)
@given(turns=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), system=st.none() | TEXT)
def test_any_conversation_keeps_its_words_and_supervises_all_replies(tiny_tokenizer, turns, system) -> None:
    messages = [] if system is None else [{"role": "system", "content": system}]
    for question, answered in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answered}]
    encoded = encode(tiny_tokenizer, messages, 10_000, "system", END)
    assert tiny_tokenizer.decode(supervised(encoded)) == "".join(answered + END for _, answered in turns)
    whole = render(tiny_tokenizer, messages, "system", generation=False)
    assert tiny_tokenizer.decode(encoded.input_ids) + "\n" == whole
    first = encode_prompt(tiny_tokenizer, messages[: 1 + (system is not None)], 10_000, "system")
    assert encoded.input_ids[: len(first)] == first
    assert all(label in (IGNORED_LABEL, token) for token, label in zip(encoded.input_ids, encoded.labels, strict=True))


VOCABULARY = ["the", "of", "Holmes", "elementary,", "1887", "“so”", "Watson?", "-"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=40).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(question=WORDS, answered=WORDS, length=st.integers(30, 160), role=st.sampled_from(["system", "user"]))
def test_too_long_loses_the_users_beginning_first_and_the_replys_end_last(tiny_tokenizer, question, answered, length, role) -> None:
    messages = [SYSTEM, {"role": "user", "content": question}, {"role": "assistant", "content": answered}]
    whole = encode(tiny_tokenizer, messages, 10_000, role, END)
    one_word = [SYSTEM, {"role": "user", "content": question.split()[-1]}, messages[-1]]
    shortest = encode(tiny_tokenizer, one_word, 10_000, role, END)
    if len(shortest.input_ids) - len(supervised(shortest)) >= length:
        with pytest.raises(DoesNotFit, match=r"train\.max_length"):
            encode(tiny_tokenizer, messages, length, role, END)
        return
    encoded = encode(tiny_tokenizer, messages, length, role, END)
    assert len(encoded.input_ids) == len(encoded.labels) <= length
    assert encoded.cut == (len(shortest.input_ids) > length)
    assert encoded.shortened == (len(whole.input_ids) > length and len(question.split()) > 1)
    text = tiny_tokenizer.decode(encoded.input_ids)
    assert SYSTEM["content"] in text
    if not encoded.cut:
        assert supervised(encoded) == supervised(whole)
        kept = text.split(f"{END}\n<|im_start|>assistant\n")[0].removesuffix("\n")
        assert kept.endswith(question.split()[-1])
    else:
        assert encoded.input_ids == shortest.input_ids[:length]


def test_no_more_words_go_than_must(tiny_tokenizer) -> None:
    question = " ".join(random.Random(0).choices(["the", "Holmes", "extraordinary", "was"], k=60))
    messages = [SYSTEM, {"role": "user", "content": question}, CONVERSATION[-1]]
    encoded = encode(tiny_tokenizer, messages, 90, "system", END)
    kept = tiny_tokenizer.decode(encoded.input_ids).split("user\n")[1].split(END)[0]
    assert question.endswith(kept)
    one_more = " ".join(question.split()[-len(kept.split()) - 1 :])
    longer = encode(tiny_tokenizer, [SYSTEM, {"role": "user", "content": one_more}, CONVERSATION[-1]], 10_000, "system", END)
    assert len(longer.input_ids) > 90


@pytest.mark.parametrize("question", ["福尔摩斯先生您是怎么知道的呢" * 12, "https://example.org/" + "a/very/long/way/" * 20, "ที่นี่" * 40])
def test_what_has_no_blanks_is_shortened_too(tiny_tokenizer, question: str) -> None:
    messages = [SYSTEM, {"role": "user", "content": question}, CONVERSATION[-1]]
    whole = encoded_length(tiny_tokenizer, messages, "system", END)
    encoded = encode(tiny_tokenizer, messages, 150, "system", END)
    assert whole > 150 >= len(encoded.input_ids)
    assert (encoded.shortened, encoded.cut) == (True, False)
    kept = tiny_tokenizer.decode(encoded.input_ids).split("user\n")[1].split(END)[0]
    assert question.endswith(kept)
    longer = [SYSTEM, {"role": "user", "content": question[-len(kept) - 2 :]}, CONVERSATION[-1]]
    assert encoded_length(tiny_tokenizer, longer, "system", END) > 150


def test_earlier_turns_are_shortened_first(tiny_tokenizer) -> None:
    turns = [
        {"role": "user", "content": "first " * 30},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "second second"},
        {"role": "assistant", "content": "No."},
    ]
    encoded = encode(tiny_tokenizer, turns, 80, "system", END)
    text = tiny_tokenizer.decode(encoded.input_ids)
    assert "second second" in text
    assert 1 <= text.count("first") < 30
    assert tiny_tokenizer.decode(supervised(encoded)) == f"Yes.{END}No.{END}"


def test_a_prompt_that_cannot_fit_is_refused(tiny_tokenizer) -> None:
    with pytest.raises(DoesNotFit, match=r"persona\.system_prompt"):
        encode_prompt(tiny_tokenizer, [{"role": "system", "content": "x" * 100}, CONVERSATION[1]], 50, "system")


def test_the_system_prompt_opens_the_user_turn_where_there_is_no_system_turn() -> None:
    assert place_system(CONVERSATION, "user")[0] == {"role": "user", "content": "You are Sherlock Holmes.\n\nHow did you know, Holmes?"}
    assert place_system(CONVERSATION[1:], "user") == CONVERSATION[1:]
    with pytest.raises(UserError, match="followed by a user turn"):
        place_system([SYSTEM, CONVERSATION[-1]], "user")


@pytest.mark.parametrize("template", [WITHOUT_SYSTEM, SHOUTED])
def test_a_template_that_loses_the_system_turn_is_noticed_wherever_it_is_used(tokenizer_with, template: str) -> None:
    tokenizer = tokenizer_with(template)
    message = r"leaves out or changes the system turn: set model\.system_role=user"
    with pytest.raises(UserError, match=message):
        encode(tokenizer, CONVERSATION, 500, "system", END)
    with pytest.raises(UserError, match=message):
        encode_prompt(tokenizer, CONVERSATION[:-1], 500, "system")
    # Its words in another turn are not the system turn.
    repeated = [SYSTEM, {"role": "user", "content": f"Who? {SYSTEM['content']}"}, CONVERSATION[-1]]
    with pytest.raises(UserError, match=message):
        encode(tokenizer, repeated, 500, "system", END)
    for messages in (CONVERSATION, repeated):
        text = tokenizer.decode(encode(tokenizer, messages, 500, "user", END).input_ids)
        assert text.count(SYSTEM["content"]) == 1 + messages[1]["content"].count(SYSTEM["content"])
    assert encode(tokenizer, CONVERSATION[1:], 500, "system", END)


def test_a_template_that_loses_what_the_user_says_is_noticed(tokenizer_with) -> None:
    tokenizer = tokenizer_with("{% for m in messages %}{{ m['content'][:14] }}<|im_end|>{% endfor %}")
    with pytest.raises(UserError, match=r"changes the system turn: choose one of ours with model\.chat_template"):
        encode(tokenizer, CONVERSATION, 500, "user", END)
    with pytest.raises(UserError, match=r"changes the user turn: choose one of ours with model\.chat_template"):
        encode(tokenizer, CONVERSATION[1:], 500, "system", END)


def test_user_turns_in_a_row_are_one_where_roles_must_alternate(tokenizer_with) -> None:
    tokenizer = tokenizer_with(MISTRAL)
    turns = [SYSTEM, {"role": "user", "content": "It rained."}, *CONVERSATION[1:], CONVERSATION[1], *CONVERSATION[1:]]
    encoded = encode(tokenizer, turns, 500, "user", END)
    question = CONVERSATION[1]["content"]
    first = f"[INST] {SYSTEM['content']}\n\nIt rained.\n\n{question} [/INST]It was simple.{END}"
    assert tokenizer.decode(encoded.input_ids) == f"{first}[INST] {question}\n\n{question} [/INST]It was simple.{END}"
    assert tokenizer.decode(supervised(encoded)) == f"It was simple.{END}" * 2
    with pytest.raises(UserError, match=r"must alternate.*model\.system_role=user"):
        encode(tokenizer, turns[1:], 500, "system", END)
    assert place_system(turns, "system") == turns


def test_todays_date_is_the_same_every_day(tokenizer_with) -> None:
    # As Llama-3.2's template asks for it.
    dated = '{% if strftime_now is defined %}{% set date = strftime_now("%d %b %Y") %}{% endif %}{{ date }}'
    tokenizer = tokenizer_with(dated + WITHOUT_SYSTEM)
    assert render(tokenizer, CONVERSATION[1:], "system", generation=True).startswith("26 Jul 2024<|im_start|>")
    with pytest.raises(UserError, match="from day to day"):
        render(tokenizer_with("{{ strftime_now(form) }}" + WITHOUT_SYSTEM), CONVERSATION[1:], "system", generation=True)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (GEMMA, "refuses the roles system, user, assistant"),
        ("{% for m in messages %}{{ messages | length }}{{ m['content'] }}<|im_end|>{% endfor %}", "once it is there"),
        ("{% for m in messages %}{{ m['content'] }}\n{% endfor %}", "does not end the assistant's turn with"),
        (
            "{% for m in messages %}{{ m['content'] | upper if m['role'] == 'assistant' else m['content'] }}<|im_end|>{% endfor %}",
            "changes the words",
        ),
    ],
)
def test_a_template_that_cannot_be_split_is_named(tokenizer_with, template: str, message: str) -> None:
    tokenizer = tokenizer_with(template)
    with pytest.raises(UserError, match=message) as raised:
        encode(tokenizer, CONVERSATION, 500, "system", END)
    assert tokenizer.name_or_path in str(raised.value)


def test_thinking_templates_refuse_several_replies_instead_of_teaching_a_wrong_prompt(tokenizer_with) -> None:
    with pytest.raises(UserError, match="once it is there"):
        encode(tokenizer_with(QWEN_3), [*CONVERSATION, *CONVERSATION[1:]], 500, "system", END)


def test_the_end_of_turn_must_be_one_token(tiny_tokenizer) -> None:
    with pytest.raises(UserError, match=r"model\.end_of_turn=<end_of_turn>"):
        encode(tiny_tokenizer, CONVERSATION, 500, "system", "<end_of_turn>")


def test_a_conversation_must_end_with_the_assistant(tiny_tokenizer) -> None:
    with pytest.raises(UserError, match="end with an assistant turn"):
        encode(tiny_tokenizer, CONVERSATION[:-1], 500, "system", END)
