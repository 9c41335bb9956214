"""Audio that comes too slowly is told of, once each time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from antiphon.call.supply import Supply

FRAME_S = 0.032


def told(pace: Iterable[float], frame_s: float = FRAME_S) -> list[float]:
    """When it is told that audio is missing; ``pace``: of each second, how much audio comes in it."""
    supply, at, audio_s, found = Supply(), 0.0, 0.0, []
    supply.begin(at)
    for second, share in enumerate(pace):
        while at < second + 1:
            at += frame_s
            audio_s += frame_s * share
            assert supply.look_at is not None
            if at >= supply.look_at and supply.look(at, audio_s) is not None:
                found.append(at)
    return found


def test_a_client_that_sends_nothing_is_told_of_within_six_seconds_and_once() -> None:
    (first,) = told([0] * 600)
    assert 5 <= first <= 6


@pytest.mark.parametrize("before", [*range(1, 12), 3_600])
def test_a_gap_of_six_seconds_is_told_of_once_wherever_it_begins(before: int) -> None:
    (first,) = told([*[1] * before, *[0] * 6, *[1] * 60])
    assert 5 <= first - before <= 6


def test_each_gap_is_told_of() -> None:
    assert len(told(([1] * 30 + [0] * 8) * 3)) == 3


@pytest.mark.parametrize("between", [3, 4, 5, 9])
@pytest.mark.parametrize("before", [2, 3, 5, 8])
def test_a_gap_soon_after_another_is_told_of_in_time(before: int, between: int) -> None:
    first, second = told([*[1] * before, *[0] * 7, *[1] * between, *[0] * 7, *[1] * 30])
    assert 5 <= first - before <= 6
    assert 5 <= second - before - 7 - between <= 6.5


def test_half_the_audio_is_an_underflow_that_lasts() -> None:
    (first,) = told([0.5] * 600)
    assert first <= 12


@pytest.mark.parametrize("pace", [1.0, 0.999, 1.001, 0.97])
def test_clocks_that_differ_a_little_are_no_underflow(pace: float) -> None:
    assert told([pace] * 7_200, frame_s=0.5) == []


def test_neither_short_pauses_nor_bursts_are_an_underflow() -> None:
    assert told([*[1] * 20, 0, 0, 0, *[1] * 57] * 20) == []
    assert told([0, 0, 3] * 200) == []
    assert told([4, 0, 0, 0] * 200) == []


def test_audio_that_came_late_but_came_is_no_second_underflow() -> None:
    assert len(told([*[1] * 20, *[0] * 7, 8, *[1] * 60])) == 1
