"""ModelledPlayout against a client that is computed sample by sample, in whole ticks of a hundredth of a sample."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio.pcm import Samples
from antiphon.audio.playout import Cleared, ModelledPlayout

TICKS = 100

RATES = st.sampled_from([8000, 8001, 11025, 16000])
BUFFERS = st.sampled_from([0, 20, 30, 40, 60, 61, 200, 30000])


@dataclass
class BruteClient:
    """Plays each sample as soon as it is there and the one before it has ended."""

    rate: int
    ends: list[int] = field(default_factory=list)
    """When each sample has been played, in ticks."""
    received: bytearray = field(default_factory=bytearray)
    stalls: list[tuple[int, int]] = field(default_factory=list)
    """When it ran dry, and when more came."""

    def stalled(self, ticks: int) -> int:
        """How often it was dry for at least so long."""
        return sum(1 for dry, more in self.stalls if more - dry >= ticks)

    def receive(self, frame: bytes, tick: int) -> None:
        self.received += frame
        for _ in range(len(frame) // 2):
            if self.ends and self.ends[-1] < tick:
                self.stalls.append((self.ends[-1], tick))
            self.ends.append(max(self.ends[-1] if self.ends else tick, tick) + TICKS)

    def heard(self, tick: int) -> int:
        return sum(1 for end in self.ends if end <= tick)

    def unplayed(self, tick: int) -> int:
        return len(self.ends) - self.heard(tick)


class Simulation:
    """One playout and one client on a clock of whole ticks."""

    def __init__(self, rate: int, buffer_ms: int, start: int = 0) -> None:
        self.rate, self.buffer_ms, self.tick = rate, buffer_ms, start
        self.playout = ModelledPlayout(rate, buffer_ms)
        self.client = BruteClient(rate)
        self.frames: list[bytes] = []
        self.held_at: list[tuple[int, bool]] = []
        """When it became known whether there is a frame to send, and whether there is."""

    @property
    def now(self) -> float:
        return self.tick / (self.rate * TICKS)

    def ticks(self, seconds: float) -> int:
        return round(seconds * self.rate * TICKS)

    def poll(self) -> list[bytes]:
        frames = self.playout.due(self.now)
        for frame in frames:
            self.client.receive(frame, self.tick)
        self.frames += frames
        bound = (max(self.buffer_ms, 20) + 20) * self.rate / 1000
        assert self.client.unplayed(self.tick) <= bound + 1
        self.check()
        assert self.playout.due(self.now) == []
        next_due = self.playout.next_due(self.now)
        assert next_due is None or next_due > self.now
        self.held_at.append((self.tick, next_due is not None))
        return frames

    def check(self) -> None:
        assert abs(self.playout.position(self.now) - self.client.heard(self.tick)) <= 1
        assert abs(self.playout.unplayed(self.now) - self.client.unplayed(self.tick)) <= 1
        assert self.playout.sent == len(self.client.ends)

    def run_to(self, tick: int, late: list[int]) -> None:
        """Let time pass, asking when told to, each time late by the next of ``late`` ticks (the last one stays)."""
        while (next_due := self.playout.next_due(self.now)) is not None:
            wake = max(-int(-next_due * self.rate * TICKS // 1), self.tick) + (late.pop(0) if late else 0)
            if wake > tick:
                break
            self.tick = wake
            assert self.poll()
        self.tick = max(tick, self.tick)
        self.check()


def ramp(count: int, first: int = 0) -> Samples:
    return (np.arange(first, first + count) % 32749).astype(np.int16)


LATE_MS = st.lists(st.integers(0, 18), max_size=30)


@settings(max_examples=80, deadline=None)
@given(RATES, BUFFERS, st.integers(0, 6000), LATE_MS, st.integers(0, 10**9))
def test_a_whole_reply_arrives_once_in_order_in_time(
    rate: int, buffer_ms: int, length: int, late_ms: list[int], start: int
) -> None:
    world = Simulation(rate, buffer_ms, start)
    world.playout.push(ramp(length))
    world.playout.finish()
    world.poll()
    world.run_to(start + world.ticks(length / rate + 1), [world.ticks(ms / 1000) for ms in late_ms])
    assert bytes(world.client.received) == ramp(length).tobytes()
    assert world.client.stalls == []
    assert world.playout.underruns == 0
    assert world.playout.done(world.now)
    assert world.playout.position(world.now) == length
    ends = np.cumsum([len(frame) // 2 for frame in world.frames]).tolist()
    assert ends == [min(k * rate // 50, length) for k in range(1, len(ends) + 1)]


@settings(max_examples=80, deadline=None)
@given(
    RATES,
    BUFFERS,
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 1500)), max_size=12),
    st.lists(st.integers(0, 60), max_size=30),
)
def test_a_reply_that_comes_in_pieces(
    rate: int, buffer_ms: int, pieces: list[tuple[int, int]], late_ms: list[int]
) -> None:
    world = Simulation(rate, buffer_ms)
    late = [world.ticks(ms / 1000) for ms in late_ms]
    pushed = 0
    for wait_ms, length in pieces:
        world.run_to(world.tick + world.ticks(wait_ms / 1000), late)
        world.playout.push(ramp(length, pushed))
        pushed += length
        world.poll()
        assert world.playout.sent + world.playout.held == pushed
        assert all(abs(len(frame) // 2 - rate / 50) < 1 for frame in world.frames), "only whole frames so far"
        assert not world.playout.finished_sending
    world.playout.finish()
    world.poll()
    world.run_to(world.tick + world.ticks(pushed / rate + 2), [])
    assert bytes(world.client.received) == ramp(pushed).tobytes()
    assert world.client.stalled(TICKS + 1) <= world.playout.underruns <= world.client.stalled(TICKS - 1)
    assert world.playout.done(world.now)


@settings(max_examples=60, deadline=None)
@given(RATES, BUFFERS, st.lists(st.tuples(st.integers(0, 50), st.integers(0, 900)), min_size=1, max_size=12))
def test_no_underrun_while_there_is_a_frame_to_send(rate: int, buffer_ms: int, pieces: list[tuple[int, int]]) -> None:
    world = Simulation(rate, buffer_ms)
    for wait_ms, length in pieces:
        world.run_to(world.tick + world.ticks(wait_ms / 1000), [])
        world.playout.push(ramp(length))
        world.poll()
    for dry, _ in world.client.stalls:
        before = [available for tick, available in world.held_at if tick <= dry]
        assert before
        assert not before[-1], "it ran dry although a frame was there"


@settings(max_examples=80, deadline=None)
@given(RATES, BUFFERS, st.integers(1, 6000), st.integers(0, 900), st.integers(0, 6000))
def test_a_clear_says_what_was_heard_and_nothing_follows(
    rate: int, buffer_ms: int, length: int, cleared_after_ms: int, later: int
) -> None:
    world = Simulation(rate, buffer_ms)
    world.playout.push(ramp(length))
    world.poll()
    world.run_to(world.ticks(cleared_after_ms / 1000), [])
    cleared = world.playout.clear(world.now)
    assert abs(cleared.position_samples - world.client.heard(world.tick)) <= 1
    assert cleared.position_samples + cleared.unplayed_samples + cleared.dropped_samples == length
    world.playout.push(ramp(later))
    world.playout.finish()
    for wait in (0.0, 0.02, 1.0):
        then = world.now + wait
        assert world.playout.due(then) == []
        assert world.playout.next_due(then) is None
        assert world.playout.position(then) == cleared.position_samples
        assert world.playout.unplayed(then) == world.playout.held == 0
        assert not world.playout.done(then)
        assert not world.playout.finished_sending
    assert world.playout.clear(world.now + 1) == Cleared(cleared.position_samples, 0, 0)


@settings(max_examples=60, deadline=None)
@given(
    RATES,
    BUFFERS,
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 200), st.booleans()), min_size=2, max_size=6),
)
def test_the_clients_clock_goes_on_between_replies(
    rate: int, buffer_ms: int, replies: list[tuple[int, int, bool]]
) -> None:
    world = Simulation(rate, buffer_ms)
    playout = world.playout
    for number, (length, wait_ms, cleared) in enumerate(replies, 1):
        playout.begin(number)
        assert playout.reply_number == number
        before = len(world.client.ends)
        playout.push(ramp(length))
        playout.finish()
        end = world.tick + world.ticks(wait_ms / 1000)
        while True:
            for frame in playout.due(world.now):
                world.client.receive(frame, world.tick)
            heard = max(world.client.heard(world.tick) - before, 0)
            assert abs(playout.position(world.now) - heard) <= 1
            assert abs(playout.unplayed(world.now) - world.client.unplayed(world.tick)) <= 1
            assert world.client.unplayed(world.tick) <= (max(buffer_ms, 20) + 20) * rate / 1000 + 1
            next_due = playout.next_due(world.now)
            if next_due is None or next_due * rate * TICKS >= end:
                break
            world.tick = -int(-next_due * rate * TICKS // 1)
        world.tick = max(end, world.tick)
        if cleared:
            playout.clear(world.now)
            heard_in_all = world.client.heard(world.tick)
            del world.client.ends[heard_in_all:]
        elif playout.sent < length:
            playout.clear(world.now)
            del world.client.ends[world.client.heard(world.tick) :]


def test_sixty_milliseconds_are_sent_in_real_time_with_a_lead_of_three_frames() -> None:
    playout = ModelledPlayout(16000, 60)
    playout.push(ramp(16000))
    assert [len(frame) for frame in playout.due(10.0)] == [640, 640, 640]
    assert playout.next_due(10.0) == pytest.approx(10.02, abs=1e-4)
    assert playout.due(10.0199) == []
    assert len(playout.due(10.0201)) == 1
    assert len(playout.due(10.0733)) == 2, "a late wake-up is made up for"
    assert playout.next_due(10.0733) == pytest.approx(10.08, abs=1e-4), "and the schedule has not moved"
    assert playout.position(10.10001) == 1600
    assert playout.underruns == 0


def test_a_large_buffer_takes_all_there_is_at_once() -> None:
    playout = ModelledPlayout(24000, 30000)
    playout.push(ramp(24000 * 20))
    assert len(playout.due(0.0)) == 1000
    playout.push(ramp(24000 * 20))
    assert len(playout.due(0.0)) == 500, "and no more than it holds"
    assert playout.clear(1.5) == Cleared(36000, 30 * 24000 - 36000, 10 * 24000)


def test_a_partial_frame_waits_for_the_end_of_the_reply() -> None:
    playout = ModelledPlayout(8000, 60)
    playout.push(ramp(159))
    assert playout.due(0.0) == []
    assert playout.next_due(0.0) is None
    playout.finish()
    assert playout.next_due(0.0) == 0.0
    assert [len(frame) for frame in playout.due(0.0)] == [318]
    assert playout.finished_sending
    assert not playout.done(0.0)
    played_at = playout.played_at()
    assert played_at is not None
    assert played_at == pytest.approx(159 / 8000, abs=1e-4)
    assert playout.done(played_at)


def test_running_dry_in_mid_reply_is_counted_and_position_stalls() -> None:
    playout = ModelledPlayout(8000, 60)
    playout.push(ramp(160))
    playout.due(0.0)
    assert playout.position(5.0) == 160
    playout.push(ramp(160))
    playout.due(5.0)
    assert playout.underruns == 1
    assert playout.position(5.01001) == 240
    playout.finish()
    playout.begin(2)
    playout.push(ramp(160))
    playout.due(9.0)
    assert playout.underruns == 1, "the pause between two replies is none"


def test_an_empty_reply_is_done_at_once() -> None:
    playout = ModelledPlayout(8000, 60)
    playout.begin(3)
    assert not playout.done(0.0)
    playout.finish()
    assert playout.done(0.0)
    assert playout.played_at() is None


def test_a_second_reply_waits_for_the_first_one_to_be_heard() -> None:
    playout = ModelledPlayout(8000, 60)
    playout.push(ramp(480))
    playout.finish()
    assert len(playout.due(0.0)) == 3
    playout.begin(1)
    playout.push(ramp(160))
    assert playout.due(0.01) == []
    assert playout.position(0.03) == 0
    assert len(playout.due(0.0201)) == 1
    assert playout.position(0.06) == 0
    assert playout.position(0.07) == 80


def test_pushing_after_the_finish_is_a_mistake() -> None:
    playout = ModelledPlayout(8000, 60)
    playout.finish()
    with pytest.raises(ValueError, match="finished"):
        playout.push(ramp(1))


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_after_an_hour_on_a_distant_clock_it_is_still_right_to_a_sample(rate: int) -> None:
    """A clock far from zero, and a reply of an hour: nothing adds up."""
    playout, start = ModelledPlayout(rate, 60), 1.7e9
    now = start
    second = np.zeros(rate, np.int16)
    sent = 0
    for _ in range(3600 * 2):
        if playout.held < rate // 10:
            playout.push(second)
        for frame in playout.due(now):
            sent += len(frame) // 2
        now += 0.025
    assert playout.underruns == 0
    assert abs(playout.position(now) - (now - start) * rate) <= 1
    assert sent == playout.sent
