"""Names of links to a sweep's curves."""

from pathlib import Path

import pytest

from persona_exp.trial.curve_links import link_name


@pytest.mark.parametrize("title", ["lora.r=8 seed=1", "persona.name=" + "名" * 90, "a/b\nc", "...", ""])
def test_each_title_is_a_name_that_a_file_can_have(title: str, tmp_path: Path) -> None:
    name = link_name(title)
    (tmp_path / f"{name} 0123456789ab").symlink_to("x")
    assert name
    assert "/" not in name


def test_a_plain_title_stays() -> None:
    assert link_name("lora.r=8 seed=1") == "lora.r=8 seed=1"
