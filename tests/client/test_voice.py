"""Where a caller's sound comes from."""

from __future__ import annotations

import numpy as np

from antiphon.client import Voice


async def test_it_is_silent_until_given_something_to_say_and_after_it() -> None:
    voice = Voice(1000)
    assert voice.read(20).tolist() == [0] * 20
    done = voice.say(np.full(30, 9000, np.int16))
    assert voice.read(20).tolist() == [9000] * 20
    assert not done.done()
    assert voice.read(20).tolist() == [9000] * 10 + [0] * 10
    assert (done.result().started_s, done.result().ended_s) == (0.020, 0.050)
    assert len(voice.said()) == 60


async def test_silence_at_the_end_of_a_clip_is_not_speech() -> None:
    voice = Voice(1000)
    done = voice.say(np.array([9000] * 30 + [3] * 30, np.int16))
    voice.read(60)
    assert done.result().ended_s == 0.030


async def test_two_clips_follow_each_other_without_a_gap() -> None:
    voice = Voice(1000)
    voice.say(np.full(15, 8000, np.int16))
    second = voice.say(np.full(15, 9000, np.int16))
    assert voice.read(40).tolist() == [8000] * 15 + [9000] * 15 + [0] * 10
    assert (second.result().started_s, second.result().ended_s) == (0.015, 0.030)


async def test_saying_nothing_is_done_at_once() -> None:
    assert Voice(1000).say(np.zeros(0, np.int16)).done()
