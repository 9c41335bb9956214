import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.words import normalise_words, word_error_rate, word_errors

words = st.lists(st.sampled_from(["one", "two", "cat", "dog"]), max_size=8)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Go forward 10 meters.", "go forward ten meters"),
        ("It's 4729!", "it's four seven two nine"),
        ("4729", "forty-seven twenty-nine"),
        ("1,250 people", "one thousand two hundred and fifty people"),
        ("205 of them", "two hundred five of them"),
        ("at 7:30 and 8:00", "at seven thirty and eight"),
        ("$12.50", "twelve dollars fifty"),
        ("the 21st of May", "the twenty first of May"),
        ("the 30th", "the thirtieth"),
        ("3.5 percent", "three point five %"),
        ("I’m sure we can't", "I am sure we can not"),
        ("Mr. Dashwood", "mister dashwood"),
        ("9 a.m.", "nine AM"),
        ("two hundred and a dog", "200 and a dog"),
        ("five five", "55"),
        ("zero zero seven", "007"),
        ("two million and", "2000000 and"),
    ],
)
def test_one_thing_said_in_two_ways(written: str, said: str) -> None:
    assert normalise_words(written) == normalise_words(said)


def test_rate_counts_errors_per_word_said() -> None:
    assert word_error_rate("the cat sat down", "The cat sat, down.") == 0.0
    assert word_error_rate("the cat sat down", "the bat sat") == 0.5
    assert word_error_rate("", "") == 0.0
    assert word_error_rate("...", "hello") == 1.0


@given(words, words)
def test_errors_are_a_distance(first: list[str], second: list[str]) -> None:
    errors = word_errors(first, second)
    assert errors == word_errors(second, first)
    assert (errors == 0) == (first == second)
    assert abs(len(first) - len(second)) <= errors <= max(len(first), len(second))


@given(st.text(max_size=60))
def test_any_text_normalises_to_words_that_stay_as_they_are(text: str) -> None:
    once = normalise_words(text)
    assert all(word and word == word.lower() for word in once if word.isascii())
    assert normalise_words(" ".join(once)) == once
