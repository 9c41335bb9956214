from __future__ import annotations

import pytest
from load.players import Player


def played(buffer_s: float, arrivals: list[float]) -> Player:
    player = Player(buffer_s)
    for number, at in enumerate(arrivals):
        player.push(at, begins=number == 0)
    return player


def test_frames_that_come_in_time_are_played_without_a_gap() -> None:
    assert played(0.0, [0.0, 0.0, 0.0, 0.02, 0.04]).underruns == 0


@pytest.mark.parametrize(("buffer_s", "underruns"), [(0.0, 1), (0.06, 1), (0.2, 0)])
def test_a_late_frame_is_an_underrun_to_those_with_too_little_buffer(buffer_s: float, underruns: int) -> None:
    player = played(buffer_s, [0.0, 0.02, 0.04, 0.2, 0.22])
    assert player.underruns == underruns
    assert (player.silence_s > 0) == bool(underruns)


def test_the_time_between_replies_is_no_underrun() -> None:
    player = played(0.06, [0.0, 0.02])
    player.push(5.0, begins=True)
    assert player.underruns == 0


def test_a_clear_stops_the_player() -> None:
    player = played(0.06, [0.0, 0.02])
    assert player.playing(0.05)
    player.clear()
    assert not player.playing(0.05)
