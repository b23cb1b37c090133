from collections.abc import Callable

import pytest

from persona_exp.config.schema import Config
from persona_exp.corpus.book_locations import file_beside_books, locate_books
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
from persona_exp.dataset.train_test_split import check_held_out_books


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "Tobias Wrexham"),
        (["corpus=holmes"], "Sherlock Holmes"),
        (["corpus=holmes", "persona=watson"], "John Watson"),
        (["persona=watson", "corpus=holmes"], "John Watson"),
        (["experiment=sherlock_llm"], "Sherlock Holmes"),
        (["corpus=novels", "persona.name=Emma"], "Emma"),
    ],
)
def test_a_corpus_names_its_persona_and_the_command_line_overrides_it(
    config: Callable[..., Config], overrides: list[str], name: str
) -> None:
    persona = config(*overrides).persona
    assert persona.name == name
    assert name in persona.system_prompt


@pytest.mark.parametrize("name", ["saltmere", "holmes"])
def test_the_lists_of_a_corpus_fit_together(config: Callable[..., Config], name: str) -> None:
    corpus = config(f"corpus={name}").corpus
    check_held_out_books(corpus.books, corpus.validation, corpus.test)
    assert corpus.dir is not None or set(corpus.gutenberg) == set(corpus.books)


def test_the_bundled_corpus_is_where_its_config_says(config: Callable[..., Config], tmp_path) -> None:
    corpus = config("corpus=saltmere").corpus
    books = locate_books(corpus.dir, corpus.books, {}, tmp_path)
    assert sorted(path.name for path in next(iter(books.values())).parent.glob("*.txt")) == corpus.books
    assert file_beside_books(corpus.dir, corpus.speakers) is not None


def test_what_is_trained_on_is_as_sure_as_the_rules_promise(config: Callable[..., Config]) -> None:
    assert config().corpus.min_confidence == DEFAULT_CONFIDENCE
