"""Where a reply is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.speaking.clauses import ClauseSplitter, speakable


def split(text: str, words_a_second: float) -> list[str]:
    """``text`` written word by word at that speed."""
    splitter = ClauseSplitter()
    clauses = []
    for number, word in enumerate(text.split(" ")):
        clauses += splitter.push(("" if number == 0 else " ") + word, number / words_a_second)
    clauses += splitter.finish()
    assert "".join(splitter.text[clause.start : clause.end] for clause in clauses) == splitter.text
    return [clause.spoken for clause in clauses]


LONG = (
    "The old captain looked at the dark clouds over the harbour and said that we would sail in spite of it. So we did."
)


def test_a_fast_model_is_spoken_in_sentences() -> None:
    assert split("I think so. The weather is fine today, and it will stay so. Good.", 200) == [
        "I think so.",
        "The weather is fine today, and it will stay so.",
        "Good.",
    ]


def test_a_slow_model_begins_after_a_few_words() -> None:
    assert split(LONG, 8)[0] == "The old captain looked"


def test_the_first_clause_ends_at_the_first_pause() -> None:
    assert split("Well, you see, that is how it is.", 8)[0] == "Well, you see,"
    assert split("Yes. That is how it is.", 8)[0] == "Yes."


@pytest.mark.parametrize("mark", [*",;:—–.!?…。！？、，\n", '."', "?”"])
def test_any_mark_ends_the_first_clause_and_those_of_sentences_the_next(mark: str) -> None:
    splitter = ClauseSplitter()
    ended = splitter.push(f"you know{mark} and", 0.0)
    assert [splitter.text[clause.start : clause.end] for clause in ended] == [f"you know{mark}"]
    assert bool(splitter.push(f" so{mark} on", 0.0)) == any(sign in ".!?…。！？\n" for sign in mark)


def test_even_a_fast_model_does_not_keep_the_caller_waiting_for_a_long_sentence() -> None:
    assert len(split(LONG, 1000)[0].split()) == 12


@pytest.mark.parametrize("text", ["Ask Dr. Brown about it now.", "1. Take the bread. 2. Cut it.", "J. R. is here now."])
def test_not_every_full_stop_is_an_end(text: str) -> None:
    assert "Dr." not in [clause[-3:] for clause in split(text, 1000)[:1]]
    assert not split(text, 1000)[0].endswith(("1.", "J."))


def test_when_the_sound_runs_out_whole_words_are_spoken() -> None:
    splitter = ClauseSplitter()
    splitter.push("I see. The old capt", 0.0)
    assert [clause.spoken for clause in splitter.cut()] == ["The old"]
    assert splitter.cut() == []
    assert [clause.spoken for clause in splitter.push("ain. ", 0.1)] == ["captain."]


def test_what_only_the_eye_needs_is_not_spoken() -> None:
    assert speakable("**Bold** and `code`, see [the page](http://example.com)!") == "Bold and code, see the page!"
    assert speakable("🎉 …") == ""


@given(st.lists(st.text(alphabet="ab .,!?\n*1", max_size=8), max_size=30), st.floats(0.001, 1.0))
def test_no_character_is_lost_or_doubled(deltas: list[str], pace: float) -> None:
    splitter = ClauseSplitter()
    clauses = []
    for number, delta in enumerate(deltas):
        clauses += splitter.push(delta, number * pace)
        if number % 3 == 2:
            clauses += splitter.cut()
    clauses += splitter.finish()
    covered = "".join(splitter.text[clause.start : clause.end] for clause in clauses)
    assert splitter.text.startswith(covered)
    assert not splitter.text[len(covered) :].strip()
