"""A random Llama of two layers with its tokenizer, and a handful of conversations to measure it on."""

from typing import Any

import pytest

from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.supervised_token_mask import Encoded, encode
from persona_exp.modeling.tiny_test_model import fetch_tiny
from persona_exp.modeling.tokenizer_loading import load_tokenizer

END = "<|im_end|>"
SYSTEM = "You are Mr. Hale, a harbour master of 1891."
EXCHANGES = (
    ("What o'clock is it?", "Half-past nine, upon my word, and the tide has not waited."),
    ("Have you seen the Captain this morning?", "No."),
    ("The lantern has been moved.", "Then somebody moved it, my dear fellow. A lantern does not walk “to-day” any more than it did then."),
    ("He came by the hansom and left on foot, which the cabman swears to, and the cabman is an honest man.", "Capital!"),
    ("Good evening.", "Naïve of him — très naïve — to think that I should not know his coat."),
    ("And the letter?", "Burnt. I saw the ashes."),
    ("Will you come with me?", "With all my heart, sir, if you will give me time to find my hat and to lock the door behind me."),
)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """(model in float32, tokenizer)."""
    folder = fetch_tiny(tmp_path_factory.mktemp("tiny"))
    model = load_model(folder, quantisation="none", double_quantisation=False, dtype="float32", attention="sdpa")
    return model, load_tokenizer(folder, None)


@pytest.fixture(scope="session")
def examples() -> list[dict[str, Any]]:
    return [
        {
            "id": f"hale-{number}",
            "book": "harbour" if number % 2 else "tide",
            "chapter": f"Chapter {number // 2}",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question},
                {"role": "assistant", "content": reply},
            ],
        }
        for number, (question, reply) in enumerate(EXCHANGES)
    ]


@pytest.fixture(scope="session")
def encoded(tiny: tuple[Any, Any], examples: list[dict[str, Any]]) -> list[Encoded]:
    return [encode(tiny[1], example["messages"], 1024, "system", END) for example in examples]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """The replies of `encoded`."""
    return [reply for _, reply in EXCHANGES]
