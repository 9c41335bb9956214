"""The noise of a line, and what stands out of it."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.audio.loudness import QUIETEST_DB, NoiseFloor, level_db
from antiphon.audio.pcm import Samples

FRAME = 512
chance = np.random.default_rng(0)


def noise(db: float) -> Samples:
    return (chance.standard_normal(FRAME) * 32_768 * 10 ** (db / 20)).astype(np.int16)


def test_levels_are_in_db_of_full_scale() -> None:
    assert level_db(np.full(FRAME, 16_384, np.int16)) == pytest.approx(-6.02, abs=0.01)
    assert level_db(np.zeros(FRAME, np.int16)) == QUIETEST_DB
    assert level_db(np.zeros(0, np.int16)) == QUIETEST_DB


@pytest.mark.parametrize("line_db", [-65.0, -50.0, -35.0])
def test_steady_noise_does_not_stand_out_and_what_is_louder_does(line_db: float) -> None:
    floor = NoiseFloor()
    rises = [floor.rise_db(noise(line_db), speech=False) for _ in range(100)]
    assert max(abs(rise) for rise in rises) < 2.0
    assert floor.rise_db(noise(line_db + 20), speech=False) == pytest.approx(20.0, abs=2.0)


def test_a_fan_that_is_switched_on_is_noise_after_a_few_seconds() -> None:
    floor = NoiseFloor()
    for _ in range(50):
        floor.rise_db(noise(-60), speech=False)
    rises = [floor.rise_db(noise(-35), speech=False) for _ in range(100)]
    assert rises[0] > 20.0
    assert rises[-1] < 3.0


def test_speech_does_not_raise_the_floor() -> None:
    floor = NoiseFloor()
    for _ in range(50):
        floor.rise_db(noise(-60), speech=False)
    for _ in range(100):
        floor.rise_db(noise(-20), speech=True)
    assert floor.rise_db(noise(-40), speech=False) == pytest.approx(20.0, abs=2.0)


def test_a_call_that_begins_with_speech_has_a_quiet_line_until_it_is_heard() -> None:
    assert NoiseFloor().rise_db(noise(-30), speech=True) == pytest.approx(40.0, abs=2.0)
