"""Both sides as one live stream, with the clock as an argument."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from antiphon.audio.duplex import HELD_BACK_FRAMES, MOST_AT_ONCE, PATIENCE_S, Duplex
from antiphon.audio.pcm import Samples, samples_from_bytes

RATE = 16_000
FRAME = RATE // 50
STEP = 0.02


class Stream:
    """Drives one in steps of 20 ms and collects what it gives."""

    def __init__(self, caller_rate: int = RATE, agent_rate: int = RATE, rate: int = RATE, *, separated: bool = True):
        self.duplex = Duplex(caller_rate, agent_rate, rate, 100.0, separated=separated)
        self.now = 100.0
        self.caller_rate = caller_rate
        self.agent_rate = agent_rate
        self.frames: list[tuple[float, bytes]] = []

    def step(self, caller: int | None = 0, agent: int | None = None) -> None:
        """20 ms pass, in which the caller sent that level (or nothing) and the agent was heard at that one."""
        self.now += STEP
        if caller is not None:
            self.duplex.caller(np.full(self.caller_rate // 50, caller, np.int16), self.now)
        if agent is not None:
            self.duplex.agent(np.full(self.agent_rate // 50, agent, np.int16), self.now)
        self.frames += [(self.now, frame) for frame in self.duplex.due(self.now)]

    def steps(self, count: int, caller: int | None = 0, agent: int | None = None) -> None:
        for _ in range(count):
            self.step(caller, agent)

    def sides(self) -> tuple[Samples, Samples]:
        both = samples_from_bytes(b"".join(frame for _, frame in self.frames)).reshape(-1, 2)
        return both[:, 0], both[:, 1]


def onset(samples: Samples) -> int:
    return int(np.argmax(np.abs(samples) > 100))


def test_the_caller_is_left_and_the_agent_right_at_the_same_time() -> None:
    stream = Stream()
    stream.steps(10)
    stream.steps(10, caller=1000, agent=-2000)
    stream.steps(10)
    caller, agent = stream.sides()
    assert onset(caller) == 10 * FRAME
    assert onset(agent) == 10 * FRAME
    assert set(np.unique(caller)) == {0, 1000}
    assert int((agent == -2000).sum()) == 10 * FRAME


def test_frames_are_steady_and_of_one_size() -> None:
    stream = Stream()
    stream.steps(50, caller=5)
    assert {len(frame) for _, frame in stream.frames} == {FRAME * 4}
    times = [at for at, _ in stream.frames]
    assert len(times) == 50 - HELD_BACK_FRAMES
    assert all(abs(later - sooner - STEP) < 1e-6 for sooner, later in pairwise(times))


def test_mixed_is_their_sum_without_wrapping_round() -> None:
    stream = Stream(separated=False)
    stream.steps(10, caller=1000, agent=2000)
    stream.steps(10, caller=30_000, agent=30_000)
    mixed = samples_from_bytes(b"".join(frame for _, frame in stream.frames))
    assert len(mixed) == len(stream.frames) * FRAME
    assert mixed[5 * FRAME] == 3000
    assert mixed.max() == 32_767


@pytest.mark.parametrize(("caller_rate", "agent_rate", "rate"), [(8_000, 48_000, 16_000), (44_100, 24_000, 11_025)])
def test_rates_may_differ(caller_rate: int, agent_rate: int, rate: int) -> None:
    stream = Stream(caller_rate, agent_rate, rate)
    stream.steps(20)
    stream.steps(20, caller=1000, agent=2000)
    stream.steps(20)
    caller, agent = stream.sides()
    assert onset(caller) / rate == pytest.approx(0.4, abs=0.002)
    assert onset(agent) / rate == pytest.approx(0.4, abs=0.002)
    assert int((np.abs(agent - 2000.0) < 60).sum()) / rate == pytest.approx(0.4, abs=0.005)


def test_audio_that_comes_in_bursts_leaves_no_gaps() -> None:
    stream = Stream()
    for burst in range(20):
        for step in range(5):
            stream.step(None if step < 4 else 0)
            if step == 4:
                stream.duplex.caller(np.full(4 * FRAME, 700, np.int16), stream.now)
        assert len(stream.frames) >= 5 * burst - HELD_BACK_FRAMES - 5
    caller, _ = stream.sides()
    assert int((caller == 700).sum()) >= len(caller) * 3 / 4


def test_unbroken_speech_of_the_agent_stays_unbroken() -> None:
    stream = Stream()
    stream.steps(5)
    for step in range(50):  # heard up to 10 ms late or early, as a busy loop has it
        stream.now += STEP
        stream.duplex.caller(np.zeros(FRAME, np.int16), stream.now)
        stream.duplex.agent(np.full(FRAME, 900, np.int16), stream.now + (0.01 if step % 2 else 0.0))
        stream.frames += [(stream.now, frame) for frame in stream.duplex.due(stream.now)]
    stream.steps(10)
    _, agent = stream.sides()
    first, last = onset(agent), len(agent) - onset(agent[::-1])
    assert last - first == 50 * FRAME
    assert (agent[first:last] == 900).all()


def test_a_caller_who_sends_nothing_is_silent_and_the_agent_is_heard() -> None:
    stream = Stream()
    stream.steps(50, caller=None)
    stream.steps(50, caller=None, agent=800)
    stream.steps(50, caller=None)
    caller, agent = stream.sides()
    assert not caller.any()
    assert onset(agent) == pytest.approx(50 * FRAME, abs=FRAME)
    assert int((agent == 800).sum()) == 50 * FRAME
    late = stream.now - 100.0 - len(stream.frames) * STEP
    assert late == pytest.approx(PATIENCE_S + HELD_BACK_FRAMES * STEP, abs=2 * STEP)


def test_a_caller_who_begins_late_is_put_where_the_clock_is() -> None:
    stream = Stream()
    stream.steps(100, caller=None, agent=None)
    stream.steps(20, caller=1000, agent=2000)
    stream.steps(50)
    caller, agent = stream.sides()
    assert onset(caller) == pytest.approx(100 * FRAME, abs=FRAME)
    assert onset(agent) == pytest.approx(onset(caller), abs=FRAME)


def test_a_short_stall_adds_no_silence() -> None:
    stream = Stream()
    stream.steps(20, caller=500)
    stream.steps(15, caller=None)
    stream.duplex.caller(np.full(15 * FRAME, 500, np.int16), stream.now)
    stream.steps(20, caller=500)
    caller, _ = stream.sides()
    assert (caller == 500).all()


def test_a_minute_at_once_is_given_bit_by_bit() -> None:
    stream = Stream()
    stream.duplex.caller(np.full(RATE * 10, 300, np.int16), stream.now)
    assert len(stream.duplex.due(stream.now)) == MOST_AT_ONCE
    rest = stream.duplex.rest()
    assert len(rest) == 500 - MOST_AT_ONCE


def test_what_the_agent_says_too_late_for_the_stream_is_not_lost() -> None:
    stream = Stream()
    stream.steps(100, caller=0)
    stream.duplex.agent(np.full(10 * FRAME, 600, np.int16), stream.now)
    stream.steps(20)
    _, agent = stream.sides()
    assert int((agent == 600).sum()) == 10 * FRAME
