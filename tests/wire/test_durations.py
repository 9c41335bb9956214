from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("0.384s", 0.384), ("180.000000s", 180.0), ("0s", 0.0), ("-0s", 0.0)]
)
def test_durations_are_strings_of_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "30", "30 s", "30s\n", "1e3s", ".5s", "5.s", "030s", "+3s", "30m", "٣s", "1.0000000001s", 30, None, True],
)
def test_garbled_durations_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_negative_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        parse_duration("-1s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (30.0, "30s"),
        (0.384, "0.384s"),
        (0.0, "0s"),
        (-0.0, "0s"),
        (180.0, "180s"),
        (100.0, "100s"),
        (1e-12, "0s"),
        (0.1 + 0.2, "0.3s"),
    ],
)
def test_answers_use_the_shortest_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**12 - 1), st.integers(min_value=0, max_value=999))
def test_milliseconds_survive_both_ways(whole: int, thousandths: int) -> None:
    seconds = parse_duration(f"{whole}.{thousandths:03}s")
    assert parse_duration(format_duration(seconds)) == seconds
