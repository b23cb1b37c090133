import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.dataset.era_knowledge import inventions, inventions_after, last_year, split_of_invention


@pytest.mark.parametrize(
    ("period", "year"),
    [
        ("England in the 1880s and 1890s", 1899),
        ("England in the 1880s", 1889),
        ("London, the 1880s and '90s", 1899),
        ("the 1880’s", 1889),
        ("1880s–90s", 1899),
        ("1815", 1815),
        ("from 1811 to 1815", 1815),
        ("the Regency (1811–1820)", 1820),
        ("1811-20", 1820),
        ("1805–7", 1805),
        ("the 1800s", 1899),
        ("the 2000s", 2009),
        ("nineteenth century", 1899),
        ("the 19th century", 1899),
        ("early nineteenth century", 1830),
        ("the early-nineteenth century", 1830),
        ("the first half of the nineteenth century", 1850),
        ("mid-nineteenth century", 1870),
        ("the middle of the 18th century", 1770),
        ("the late nineteenth century", 1899),
        ("the turn of the twentieth century", 1910),
        ("the eighteenth and early nineteenth centuries", 1830),
        ("the twenty-first century", 2099),
        ("the twelfth century", 1199),
        ("Victorian London", 1901),
        ("Victorian London, the 1850s", 1859),
        ("Regency England", 1820),
        ("the time of the novel", None),
        ("the sixties", None),
        ("221B Baker Street", None),
        ("the nineteenth of May", None),
        ("", None),
    ],
)
def test_the_last_year_that_a_period_tells(period: str, year: int | None) -> None:
    assert last_year(period) == year


def test_there_are_enough_and_they_are_in_order() -> None:
    names, years = [name for name, _ in inventions()], [year for _, year in inventions()]
    assert len(names) >= 90
    assert len({name.casefold() for name in names}) == len(names)
    assert years == sorted(years)
    assert years[0] <= 1815
    assert years[-1] >= 2015
    # As it stands in the middle of a question: with its article, without a full stop.
    assert all(re.fullmatch(r"(the )?[A-Za-z0-9][\w' -]*", name) for name in names)


@pytest.mark.parametrize(
    ("period", "known", "unknown"),
    [
        ("1815", "the steam locomotive", "the stethoscope"),
        ("England in the 1880s", "the telephone", "wireless telegraphy"),
        ("England in the 1880s and 1890s", "the diesel engine", "the aeroplane"),
        ("the time of the novel", "the credit card", "the laser"),
    ],
)
def test_only_what_came_later_is_unknown(period: str, known: str, unknown: str) -> None:
    assert known in dict(inventions())
    assert known not in inventions_after(period)
    assert unknown in inventions_after(period)


@pytest.mark.parametrize("period", ["1815", "England in the 1880s and 1890s", "the time of the novel"])
def test_each_split_has_inventions_of_its_own(period: str) -> None:
    counts = Counter(split_of_invention(name) for name in inventions_after(period))
    assert min(counts["validation"], counts["test"]) >= 5
    assert counts["train"] >= 0.7 * sum(counts.values())


def test_the_split_of_an_invention_never_changes() -> None:
    assert [split_of_invention(name) for name in ("the telephone", "the talking film", "ChatGPT")] == ["train", "validation", "test"]


@given(st.integers(1000, 2998))
def test_a_later_period_knows_no_less(year: int) -> None:
    later = inventions_after(f"the year {year + 1}")
    assert later == [name for name in inventions_after(f"the year {year}") if name in later]


@given(st.text(max_size=60))
def test_any_text_is_a_period(text: str) -> None:
    year = last_year(text)
    assert year is None or 400 <= year <= 9999
