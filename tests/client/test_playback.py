"""The model of a playing client."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client import Playback

RATE = 1000


def frame(value: int, count: int) -> bytes:
    return np.full(count, value, "<i2").tobytes()


def test_frames_play_one_after_the_other_however_early_they_come() -> None:
    playback = Playback(RATE)
    playback.push(frame(1, 20), at=0.100)
    playback.push(frame(2, 20), at=0.101)
    assert playback.heard(0.100, 0.140).tolist() == [1] * 20 + [2] * 20
    assert playback.held_s(0.110) == pytest.approx(0.03)
    assert playback.gaps_s(0, 1) == []


def test_a_late_frame_leaves_a_gap() -> None:
    playback = Playback(RATE)
    playback.push(frame(1, 20), at=0.100)
    playback.push(frame(2, 20), at=0.130)
    assert playback.gaps_s(0, 1) == [0.01]
    assert playback.heard(0.115, 0.135).tolist() == [1] * 5 + [0] * 10 + [2] * 5


def test_a_clear_drops_what_is_unplayed_and_nothing_else() -> None:
    playback = Playback(RATE)
    playback.push(frame(1, 100), at=0.0)
    assert playback.clear(0.030) == 70
    assert playback.held_s(0.030) == 0.0
    playback.push(frame(2, 10), at=0.050)
    assert playback.heard().tolist() == [1] * 30 + [0] * 20 + [2] * 10
    assert playback.clear(1.0) == 0


def test_an_odd_byte_waits_for_its_other_half() -> None:
    playback = Playback(RATE)
    data = frame(513, 3)
    assert [playback.push(data[:3], 0.0), playback.push(data[3:], 0.0)] == [1, 2]
    assert playback.heard().tolist() == [513] * 3


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 50), st.booleans()), max_size=30))
def test_what_is_pushed_is_heard_or_dropped(steps: list[tuple[float, int, bool]]) -> None:
    playback, at, pushed, dropped = Playback(RATE), 0.0, 0, 0
    for wait, count, clear in steps:
        at += wait
        if clear:
            dropped += playback.clear(at)
        pushed += playback.push(frame(7, count), at)
    assert np.count_nonzero(playback.heard()) == pushed - dropped
