from pathlib import Path

import torch

from persona_exp.atomic_files import file_digest
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.tiny_test_model import build_tiny, tiny_digest


def test_weights_and_tokens_are_the_same_everywhere(tiny: Path, tiny_tokenizer) -> None:
    # A change of these changes every result on this model: RECIPE's version must then change as well.
    assert tiny_digest()[:12] == "7f09dbf5f4a2"
    assert file_digest(tiny / "model.safetensors")[:12] == "2a081638753c"
    assert tiny_tokenizer("Holmes said: the 2 of us.")["input_ids"] == [42, 81, 78, 79, 71, 85, 337, 28, 261, 223, 20, 263, 444, 16]


def test_two_builds_are_equal_byte_for_byte(tiny: Path, tmp_path: Path) -> None:
    build_tiny(tmp_path)
    for file in tiny.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


def test_the_model_computes_in_every_precision(tiny: Path) -> None:
    tokens = torch.arange(3, 40)[None]
    exact = load_model(tiny, "none", True, "float32", "sdpa")(tokens).logits
    assert exact.std().item() > 0.3
    for quantisation, distance in (("none", 0.05), ("nf4", 0.6)):
        rough = load_model(tiny, quantisation, True, "bfloat16", "sdpa")(tokens).logits.float()
        assert (rough - exact).norm() / exact.norm() < distance


def test_any_text_survives_the_tokenizer(tiny_tokenizer) -> None:
    for text in ("“Quite so,” said Holmes — 1887…", " two  spaces\n\nand lines ", "Ünïcode 漢字 🙂"):
        assert tiny_tokenizer.decode(tiny_tokenizer(text, add_special_tokens=False)["input_ids"]) == text
