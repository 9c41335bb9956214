"""The clock of all calls, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise

import pytest

from antiphon.media.websocket.batch_reader import BatchReader
from antiphon.session.pacer import SLOT_S, SLOTS, Pacer
from antiphon.testing.virtual_clock import VirtualLoop, run_virtual


class Counting(BatchReader):
    """Notes when it is told to take in."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: list[float] = []

    def take_in(self) -> None:
        self.beats.append(asyncio.get_running_loop().time())
        super().take_in()


@asynccontextmanager
async def running(pacer: Pacer) -> AsyncIterator[None]:
    task = asyncio.create_task(pacer.run())
    yield
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Something to read from, and something to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def broken() -> None:
    raise AssertionError("a player broke")


async def passed(seconds: float) -> None:
    """Virtual ones."""
    await asyncio.sleep(seconds)


def jump(seconds: float) -> None:
    """The process was busy with something else for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now += seconds


def differences(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_it_sleeps_while_there_are_neither_players_nor_sockets() -> None:
    async def scene() -> None:
        batch_reader = Counting()
        pacer = Pacer(batch_reader)
        async with running(pacer):
            await passed(60)
            assert batch_reader.beats == []
            number = pacer.add(lambda now: None, broken)
            await passed(1)
            pacer.remove(number)
            await passed(1)
            beats = len(batch_reader.beats)
            await passed(60)
            assert len(batch_reader.beats) == beats < 220

    run_virtual(scene())


def test_it_beats_while_there_are_only_sockets() -> None:
    async def scene() -> None:
        batch_reader = Counting()
        heard: list[tuple[float, bytes]] = []
        loop = asyncio.get_running_loop()
        async with running(Pacer(batch_reader)):
            await passed(10)
            with pipe() as (near, far):
                batch_reader.add(near, lambda: heard.append((loop.time(), os.read(near, 100))))
                await passed(1.0)
                assert differences(batch_reader.beats) == pytest.approx([SLOT_S] * (len(batch_reader.beats) - 1))
                assert len(batch_reader.beats) == pytest.approx(1.0 / SLOT_S, abs=2)
                os.write(far, b"hello")
                await passed(SLOT_S)
                assert [data for _, data in heard] == [b"hello"]
                batch_reader.remove(near)
            await passed(0.1)
            beats = len(batch_reader.beats)
            await passed(60)
            assert len(batch_reader.beats) == beats

    run_virtual(scene())


def test_what_has_come_is_taken_in_before_players_are_asked() -> None:
    async def scene() -> None:
        batch_reader, order = BatchReader(), list[str]()
        pacer = Pacer(batch_reader)
        pacer.add(lambda now: order.append("asked"), broken)
        with pipe() as (near, far):
            batch_reader.add(near, lambda: order.append(os.read(near, 100).decode()))
            os.write(far, b"came")
            async with running(pacer):
                await passed(SLOT_S / 2)
            assert order == ["came", "asked"]
            batch_reader.remove(near)

    run_virtual(scene())


def test_every_player_is_asked_every_20_ms_and_a_quarter_of_them_at_a_time() -> None:
    async def scene() -> None:
        pacer, asked = Pacer(), [list[float]() for _ in range(8)]
        for times in asked:
            pacer.add(times.append, broken)
        async with running(pacer):
            await passed(1.0)
        for times in asked:
            assert len(times) == 50
            assert differences(times) == pytest.approx([SLOTS * SLOT_S] * 49)
        assert len({round(times[0], 6) for times in asked}) == SLOTS

    run_virtual(scene())


@pytest.mark.parametrize("late_s", [0.012, 0.1, 5.0])
def test_after_a_late_beat_the_schedule_goes_on(late_s: float) -> None:
    """Short delays are made up for; after long ones there is no burst of beats for what was missed."""

    async def scene() -> None:
        batch_reader, asked, late = Counting(), list[float](), [late_s]
        pacer = Pacer(batch_reader)

        def player(now: float) -> None:
            asked.append(now)
            if len(asked) == 10:
                jump(late.pop())

        pacer.add(player, broken)
        async with running(pacer):
            await passed(10 * SLOTS * SLOT_S + late_s + SLOT_S)
            assert pacer.lateness_s < late_s
            asked_by_then, beats_by_then = len(asked), len(batch_reader.beats)
            await passed(1.0)
            assert len(asked) - asked_by_then == pytest.approx(50, abs=SLOTS)
            assert len(batch_reader.beats) - beats_by_then == pytest.approx(200, abs=SLOTS + 1)
            assert pacer.lateness_s == pytest.approx(0.0, abs=1e-6)
            assert differences(asked[-30:]) == pytest.approx([SLOTS * SLOT_S] * 29)

    run_virtual(scene())


def test_beats_that_are_a_little_late_do_not_add_up() -> None:
    async def scene() -> None:
        pacer, asked, loop, dice = Pacer(), list[float](), asyncio.get_running_loop(), random.Random(1)
        pacer.add(asked.append, broken)
        async with running(pacer):
            while loop.time() < 2.0:
                await passed(dice.uniform(0.001, 0.01))
                jump(0.003)
        assert len(asked) == pytest.approx(2.0 / (SLOTS * SLOT_S), abs=2)

    run_virtual(scene())


def test_how_late_a_beat_was_is_known() -> None:
    async def scene() -> None:
        pacer, known = Pacer(), list[float]()
        for _ in range(SLOTS):
            pacer.add(lambda now: known.append(pacer.lateness_s), broken)
        async with running(pacer):
            await passed(0.1)
            assert known == pytest.approx([0.0] * len(known), abs=1e-6)
            jump(0.05)
            await passed(0.1)
        assert sorted(known)[-2:] == pytest.approx([0.0, 0.05], abs=SLOT_S)

    run_virtual(scene())


def test_a_player_that_breaks_is_asked_no_more_and_the_others_go_on() -> None:
    async def scene() -> None:
        pacer, told, asked = Pacer(), list[BaseException | None](), list[float]()

        def fail(now: float) -> None:
            raise RuntimeError("its own trouble")

        def on_broken() -> None:
            told.append(sys.exception())

        pacer.add(fail, on_broken)
        pacer.add(asked.append, broken)
        async with running(pacer):
            await passed(0.2)
        assert [type(error) for error in told] == [RuntimeError]
        assert len(asked) == 10

    run_virtual(scene())


def test_a_player_removed_by_another_of_its_slot_does_not_stop_the_clock() -> None:
    async def scene() -> None:
        pacer, numbers = Pacer(), list[int]()

        def end_all(now: float) -> None:
            for number in numbers:
                pacer.remove(number)

        numbers += [pacer.add(end_all, broken) for _ in range(8)]
        async with running(pacer):
            await passed(0.1)
            asked: list[float] = []
            pacer.add(asked.append, broken)
            await passed(0.1)
            assert len(asked) == 5

    run_virtual(scene())
