from pathlib import Path

from persona_exp.dataset.annotated_book import annotate_book
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.dialogue_examples import NO_CONTEXT, dialogue_examples
from persona_exp.dataset.training_example import Example

WREXHAM = Persona("Tobias Wrexham", ("Wrexham",), system_prompt="Be Wrexham.")


def examples(tmp_path: Path, *paragraphs: str, words: tuple[int, int, int] = (1, 200, 120)) -> tuple[list[Example], dict[str, int]]:
    path = tmp_path / "story.txt"
    path.write_text("The Bell\n\n" + "\n\n".join(paragraphs) + "\n", encoding="utf-8")
    shortest, longest, context = words
    recipe = Recipe((WREXHAM,), min_reply_words=shortest, max_reply_words=longest, max_context_words=context)
    found, counts = dialogue_examples(annotate_book(path, recipe, [WREXHAM.character]), WREXHAM, recipe)
    return found, {reason: count for reason, count in counts.items() if count}


def turns(tmp_path: Path, *paragraphs: str, words: tuple[int, int, int] = (1, 200, 120)) -> list[tuple[str, str]]:
    return [(one.messages[1]["content"], one.reply) for one in examples(tmp_path, *paragraphs, words=words)[0]]


def test_a_reply_answers_the_line_before_it(tmp_path: Path) -> None:
    (example,) = examples(tmp_path, "“Who rang it?” I asked.", "“Nobody,” said Wrexham. “Sound it.”")[0]
    assert [(one["role"], one["content"]) for one in example.messages] == [
        ("system", "Be Wrexham."),
        ("user", "Who rang it?"),
        ("assistant", "Nobody. Sound it."),
    ]
    assert (example.kind, example.book, example.chapter, example.passage, example.rule) == (
        "dialogue",
        "story",
        1,
        "story/1/1",
        "verb-subject",
    )


def test_narration_in_between_does_not_hide_a_named_line(tmp_path: Path) -> None:
    assert turns(tmp_path, "“Who rang it?” asked Crane.", "The fog thickened.", "“Nobody,” said Wrexham.") == [("Who rang it?", "Nobody.")]


def test_an_unnamed_line_further_off_may_be_his_own(tmp_path: Path) -> None:
    assert turns(tmp_path, "“Who rang it?”", "The fog thickened.", "“Nobody,” said Wrexham.") == [("The fog thickened.", "Nobody.")]


def test_his_own_line_is_not_what_he_answers(tmp_path: Path) -> None:
    said = turns(tmp_path, "“Who rang it?” I asked.", "“Nobody,” said Wrexham.", "“Or a ghost,” said Wrexham.")
    assert said[1] == ("Who rang it?", "Or a ghost.")


def test_without_a_line_the_narration_leads_up(tmp_path: Path) -> None:
    assert turns(tmp_path, "It was late.", "Then Wrexham rose and said: “Nobody.”") == [
        ("It was late.\n\nThen Wrexham rose and said:", "Nobody.")
    ]


def test_context_is_cut_at_sentences_and_counted(tmp_path: Path) -> None:
    found, counts = examples(tmp_path, "It was late. The fog thickened.", "“Nobody,” said Wrexham.", words=(1, 200, 4))
    assert found[0].messages[1]["content"] == "The fog thickened."
    assert counts == {"context cut": 1}
    assert turns(tmp_path, "It was late.", "“Nobody,” said Wrexham.", words=(1, 200, 0)) == [(NO_CONTEXT, "Nobody.")]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = ("“At once,” said Wrexham.", "“Never,” said Crane.", "“No,” said Wrexham.", "“It is a very long story,” said Wrexham.")
    found, counts = examples(tmp_path, *text, words=(2, 4, 120))
    assert found == []
    assert counts == {
        "nothing before the reply": 1,
        "quotes of others": 1,
        "reply too short": 1,
        "reply too long": 1,
    }


def test_a_line_in_another_scene_is_not_answered(tmp_path: Path) -> None:
    assert turns(tmp_path, "“Who?” asked Crane.", "* * *", "Morning came.", "“Nobody,” said Wrexham.") == [("Morning came.", "Nobody.")]
