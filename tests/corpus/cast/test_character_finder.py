from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.corpus.book import read_book
from persona_exp.corpus.cast.character import NARRATOR, Character
from persona_exp.corpus.cast.character_finder import characters_in, find_characters
from persona_exp.corpus.cast.spacy_person_names import find_person_names
from persona_exp.corpus.quotation.quotes import find_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.errors import UserError
from tests.corpus.saltmere import stories


def cast(text: str, *known: Character) -> dict[str, Character]:
    paragraphs = find_paragraphs(text)
    return {one.name: one for one in characters_in(text, paragraphs, find_quotes(text, paragraphs), known)}


def names(text: str, *known: Character) -> list[set[str]]:
    return [{one.name, *one.aliases} for one in cast(text, *known).values()]


def test_forms_of_a_name_are_one_character() -> None:
    text = "“Go,” said Tobias Wrexham.\n\nThen Wrexham rose. “No,” said Mr. Wrexham.\n\nThey saw Mr. Tobias Wrexham. “Come,” said Tobias."
    assert names(text) == [{"Tobias Wrexham", "Wrexham", "Mr. Wrexham", "Mr. Tobias Wrexham", "Tobias"}]
    assert next(iter(cast(text))) == "Tobias Wrexham"


def test_husband_and_wife_and_daughter_stay_three() -> None:
    text = "“Go,” said Mr. Hallam. “No,” said Mrs. Hallam. “Why?” asked Miss Hallam.\n\n“Go,” said Mr. Hallam. “No,” said Mrs. Hallam."
    found = cast(text)
    assert {(one.name, one.gender) for one in found.values()} == {
        ("Mr. Hallam", "male"),
        ("Mrs. Hallam", "female"),
        ("Miss Hallam", "female"),
    }


def test_brothers_stay_two_and_the_surname_alone_is_neither_of_both() -> None:
    text = "“Go,” said Luke Marrack. “No,” said Gideon Marrack. “So,” said Luke. “Well,” said Gideon.\n\n" * 3 + "“Ah,” said Marrack."
    found = names(text)
    assert {"Luke Marrack", "Luke"} in found
    assert {"Gideon Marrack", "Gideon"} in found


def test_a_wife_called_by_her_husbands_name_is_not_he() -> None:
    text = "“Go,” said John Brend. “No,” said Mrs. John Brend.\n\n" * 3
    assert sorted(map(sorted, names(text))) == [["John Brend"], ["Mrs. John Brend"]]


def test_the_elder_sister_bears_the_surname_alone() -> None:
    text = (
        "“Go,” said Anne Frome. “No,” said Miss Frome.\n\nMiss Adelaide Frome rose. “Well,” said Adelaide. “So,” said Anne.\n\n" * 5
        + "“Ah,” said Adelaide Frome."
    )
    assert {"Anne Frome", "Anne", "Miss Frome"} in names(text)
    assert {"Adelaide Frome", "Adelaide", "Miss Adelaide Frome"} in names(text)


def test_nicknames_join_their_name() -> None:
    text = "“Go,” said Elizabeth Quick. “No, Lizzy,” said he. “Lizzy, come.” And Elizabeth went. “Lizzy!”\n\n" * 2
    assert {"Elizabeth Quick", "Elizabeth", "Lizzy"} in names(text)


def test_titles_of_rank_part_two_men_of_a_name() -> None:
    text = "“Go,” said Captain Thrale. “No,” said Mr. Thrale.\n\n" * 6
    assert sorted(map(sorted, names(text))) == [["Captain Thrale"], ["Mr. Thrale"]]


def test_places_days_and_openings_of_sentences_are_nobody() -> None:
    text = (
        "Presently Pell went to Saltmere. “Go,” said Pell. On Monday he was in Saltmere, at Saltmere Harbour, in Harbour Street.\n\n"
        "Thank Heaven, the English ship lay near Saltmere. Presently Pell came from Saltmere in December."
    )
    assert names(text) == [{"Pell"}]


def test_what_is_called_by_its_kind_has_its_article() -> None:
    text = "“Go,” said the Hatter. The Hatter sighed. “No,” said the Hatter.\n\nThen the Hatter rose, he sat; the Hatter slept, he woke."
    (hatter,) = cast(text).values()
    assert hatter == Character("Hatter", ("the Hatter",), False, "male")


@pytest.mark.parametrize(
    ("text", "gender"),
    [
        ("“Go,” said Dorcas.\n\nThen Dorcas rose.", "female"),
        ("“Go,” said Quill, and he rose. At last Quill took his hat. “No,” said Quill, and he went.", "male"),
        ("“Go,” said Quill, and she rose. At last Quill took her hat. “No,” said Quill, and she went.", "female"),
        ("“Go,” said Captain Quill.\n\n“No,” said Captain Quill.", "male"),
        ("“Go,” said Quill.\n\n“No,” said Quill.", None),
    ],
)
def test_gender(text: str, gender: str | None) -> None:
    assert [one.gender for one in cast(text).values()] == [gender]


TOLD = (
    "I went to the door and I looked out, and my heart beat. “Who is it, Pell?” said Wrexham.\n\n“Nobody,” said I. I took my hat.\n\n" * 4
)


def test_the_narrator_is_whom_the_others_address() -> None:
    found = cast(TOLD)
    assert [one.name for one in found.values() if one.narrator] == ["Pell"]


def test_a_narrator_whom_nobody_names_has_no_name() -> None:
    found = cast(TOLD.replace(", Pell?", "?"))
    assert found[NARRATOR].narrator
    assert [one.name for one in found.values() if one.narrator] == [NARRATOR]


def test_i_in_speech_makes_no_narrator() -> None:
    found = cast("“I think I know what I saw, and I shall say so,” said Wrexham. The fog came down on him.\n\n" * 6)
    assert [one for one in found.values() if one.narrator] == []


def test_given_characters_keep_what_they_say_and_take_in_what_is_found() -> None:
    known = Character("Edwin Pell", ("the clerk",), narrator=True, gender="male")
    found = cast(TOLD, known)
    assert found["Edwin Pell"] == Character("Edwin Pell", ("the clerk", "Pell"), True, "male")
    assert [one.name for one in found.values() if one.narrator] == ["Edwin Pell"]
    assert "Pell" not in found


def test_given_characters_stay_apart_and_come_first() -> None:
    known = (Character("Luke Marrack", ("Marrack",)), Character("Gideon Marrack"))
    found = cast("“Go,” said Marrack. “No,” said Gideon. “So,” said Mr. Marrack. “Well,” said Luke.\n\n" * 4, *known)
    assert list(found)[:2] == ["Luke Marrack", "Gideon Marrack"]
    assert "Gideon" in found["Gideon Marrack"].aliases
    assert {"Marrack", "Luke"} <= set(found["Luke Marrack"].aliases)


def test_a_given_surname_behind_a_title_takes_in_no_relation() -> None:
    text = (
        "“Go,” said Anne Frome. “No,” cried Adelaide.\n\nMiss Adelaide Frome rose. “Well,” said Adelaide. “So, Miss Frome,” said Anne.\n\n"
        "“Ah,” said Mr. Frome. “Oh,” said Mr. John Frome. “Well,” said Mr. Frome. “Yes,” cried Mr. Frome.\n\n"
    ) * 5
    given = (Character("Anne Frome", ("Anne", "Nan", "Miss Frome")), Character("Mr. Frome", ("Frome",)))
    for known in (given, given[:1], given[1:]):
        found = cast(text, *known)
        for one in known:
            assert not {"Adelaide", "Miss Adelaide Frome", "John Frome", "Mr. John Frome"} & set(found[one.name].aliases)
        assert "Adelaide" in {alias for name in ("Adelaide Frome", "Miss Adelaide Frome") if name in found for alias in found[name].aliases}


def test_a_given_character_that_the_text_never_names_stays() -> None:
    assert cast("“Go,” said Pell.\n\n“No,” said Pell.", Character("Hosea Bunce"))["Hosea Bunce"] == Character(
        "Hosea Bunce", (), False, None
    )


@pytest.mark.parametrize("story", stories(), ids=lambda path: path.stem)
def test_the_main_characters_of_the_bundled_stories_are_found_once(story: Path) -> None:
    found = find_characters(read_book(story))
    for alias, gender in (("Wrexham", "male"), ("Mrs. Hallam", "female"), ("Inspector Crane", "male")):
        bearers = [one for one in found if alias in (one.name, *one.aliases)]
        assert len(bearers) == 1, (alias, bearers)
        assert bearers[0].gender in (gender, None)
    assert [one.name for one in found if one.narrator] in (["Mr. Pell"], ["Pell"], [NARRATOR])


def test_the_same_book_gives_the_same_cast() -> None:
    book = read_book(stories()[0])
    assert find_characters(book) == find_characters(book)


CAPITALS = st.sampled_from(
    ["Pell", "Mr.", "Mrs.", "Wrexham", "Tobias", "said", "the", "in", "I", "“", "”", ",", ".", "St.", "de", "’s", "\n\n", "Miss"]
)


@settings(deadline=None)
@given(st.lists(CAPITALS, max_size=60).map(" ".join), st.booleans())
def test_any_text_has_a_cast_of_distinct_names(text: str, known: bool) -> None:
    people = list(cast(text, *([Character("Tobias Wrexham", ("Wrexham",))] if known else [])).values())
    aliases = [alias for one in people for alias in (one.name, *one.aliases)]
    assert len(aliases) == len(set(aliases))
    assert sum(one.narrator for one in people) <= 1
    assert all(people[0].name == "Tobias Wrexham" for _ in range(known))


def test_a_model_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(UserError, match="needs spaCy"):
        find_person_names("Pell went.", [])
