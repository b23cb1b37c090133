"""What an ask is called."""

import pytest

from persona_exp.search.ask_files import settings_text


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"optim.lr": "0.00037480123456789012", "lora.r": "16"}, "optim.lr=0.0003748 lora.r=16"),
        ({"optim.lr": "9.1870123456e-05", "lora.dropout": "0.0"}, "optim.lr=9.187e-05 lora.dropout=0"),
        ({"method": "lora", "model": "qwen2.5-7b-instruct"}, "method=lora model=qwen2.5-7b-instruct"),
        ({"data.size": "20000.0"}, "data.size=20,000"),
    ],
)
def test_a_title_has_four_figures(overrides: dict[str, str], text: str) -> None:
    assert settings_text(overrides) == text
