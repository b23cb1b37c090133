from pathlib import Path

from persona_exp.dataset.annotated_book import annotate_book
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.narrative_examples import narrative_examples

PELL = Persona("Edwin Pell", narrator=True)

FIRST = "I went down to the quay with my lantern, and I saw the boat. "
THIRD = "She went down to the quay with her lantern, and saw the boat. "


def replies(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "story.txt"
    path.write_text(text, encoding="utf-8")
    recipe = Recipe((PELL,))
    found, _ = narrative_examples(annotate_book(path, recipe, [PELL.character]), PELL, recipe)
    return [(one.messages[0]["content"], one.reply) for one in found]


def test_narration_answers_the_paragraph_before_it(tmp_path: Path) -> None:
    text = f"The Bell\n\n{FIRST}\n\n“Who rang?” I asked.\n\nI had no reply from the boat.\n\nI read as follows:\n"
    assert replies(tmp_path, text) == [('"Who rang?" I asked.', "I had no reply from the boat.")]


def test_chapters_in_the_third_person_are_not_the_narrators(tmp_path: Path) -> None:
    text = f"CHAPTER I\n\n{FIRST * 40}\n\n{FIRST}\n\nCHAPTER II\n\n{THIRD * 60}\n\n{THIRD}\n\n“I rang. I and my boy,” said I.\n\n{THIRD}\n"
    assert [reply for _, reply in replies(tmp_path, text)] == [FIRST.strip()]


def test_behind_marks_that_do_not_pair_nothing_is_taken(tmp_path: Path) -> None:
    assert replies(tmp_path, f"The Bell\n\n{FIRST}\n\n“I was a boy then.\n\nI went to sea at the age of ten.\n") == []
