"""A data connection over real sockets: kept, lost, made again, never in anybody's way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from antiphon.media.data_connection import connection, dialing
from antiphon.media.data_connection.connection import LONGEST_DELAY_S, DataConnection, backoff
from antiphon.media.data_connection.dialing import Target
from antiphon.media.data_connection.outbox import MOST_AUDIO_FRAMES, Outbox
from tests.support.far_end import FarEnd, far_end

CALL = "2d0b2f5a-4a4a-4f7c-8a1f-000000000000"


async def here(_host: str, _port: int) -> Sequence[str]:
    return ("127.0.0.1",)


@dataclass
class Near:
    """This side: what it was told."""

    told: list[str] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    greeting: str | None = "greeting"

    def __post_init__(self) -> None:
        self.outbox = Outbox(lambda what: self.tell(f"dropped {what}"))
        self.news = asyncio.Event()
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.connection: DataConnection | None = None

    def tell(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    def connected(self, tries: int) -> str | None:
        self.tell(f"connected {tries}")
        return self.greeting

    async def received(self, data: str | bytes) -> None:
        self.tell(f"received {data!r}")

    def refused(self, reason: str) -> None:
        self.tell(f"refused: {reason}")

    def lost(self, reason: str) -> None:
        self.tell(f"lost: {reason}")

    def delay(self, failures: int) -> float:
        self.delays.append(failures)
        return 0.01

    def wall_clock(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    async def until(self, what: str, count: int = 1) -> None:
        async with asyncio.timeout(10):
            while sum(one.startswith(what) for one in self.told) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def kept(port: int, secrets: tuple[str, ...] = (), **changes: object) -> AsyncIterator[Near]:
    """A connection to that port; ended in the end."""
    near = Near(**changes)  # type: ignore[arg-type]
    target = Target(f"ws://far.example:{port}/", CALL, {}, secrets)
    tls = ssl.create_default_context()
    near.connection = DataConnection(target, here, tls, near.outbox, near, near.delay, near.wall_clock)
    running = asyncio.create_task(near.connection.run())
    try:
        yield near
    finally:
        near.connection.finish()
        await asyncio.wait_for(running, 5)


def texts(end: FarEnd) -> list[str]:
    return [item.data for item in end.came if isinstance(item.data, str)]


async def test_the_greeting_comes_before_what_waited() -> None:
    async with far_end() as end, kept(end.port) as near:
        near.outbox.put_message("first")
        near.outbox.put_audio(b"\1\2")
        near.outbox.put_message("second")
        await end.until(lambda _: len(end.came) == 4)
    assert [item.data for item in end.came] == ["greeting", "first", b"\1\2", "second"]
    assert end.closed == [(1000, "the call has ended")]
    assert near.told == ["connected 1"]


async def test_what_comes_is_handed_on() -> None:
    async with far_end() as end, kept(end.port) as near:
        await near.until("connected")
        await end.until(lambda _: end.connections)
        await end.send("hello")
        await end.connection.send(b"\1")
        await near.until("received", 2)
    assert near.told[1:3] == ["received 'hello'", "received b'\\x01'"]


async def test_a_lost_connection_is_made_again_and_what_waited_is_sent() -> None:
    secret = "a secret of 24 characters"
    async with far_end() as end, kept(end.port, (secret,)) as near:
        await end.until(lambda _: end.came)
        await end.connection.close(1012, "restarting")
        await near.until("lost")
        near.outbox.put_message("meanwhile")
        await end.until(lambda _: "meanwhile" in texts(end))
    assert near.told[:3] == ["connected 1", "lost: the other end closed it with code 1012", "connected 1"]
    assert texts(end) == ["greeting", "greeting", "meanwhile"]
    stamps = [request.headers["X-Ultravox-Signature-Timestamp"] for request in end.requests]
    signatures = {request.headers["X-Ultravox-Signature"] for request in end.requests}
    assert stamps == ["2026-11-22T00:01:00.000+00:00", "2026-11-22T00:02:00.000+00:00"], "signed anew each time"
    assert len(signatures) == 2


async def test_a_connection_cut_without_a_word_is_made_again() -> None:
    async with far_end() as end, kept(end.port) as near:
        await end.until(lambda _: end.came)
        end.connection.transport.abort()
        await near.until("connected", 2)
    assert near.told[1] == "lost: it broke"


async def test_it_is_tried_until_somebody_answers() -> None:
    async with far_end() as end:
        port = end.port
    async with kept(port) as near:
        await near.until("refused", 3)
        async with far_end(port=port) as end:
            await end.until(lambda _: end.came)
            tries = near.told.count(near.told[0])
    assert near.told[0] == f"refused: far.example, port {port}: Connection refused"
    assert f"connected {tries + 1}" in near.told
    assert near.delays[:3] == [1, 2, 3]


async def test_a_server_that_hangs_up_at_once_is_not_dialled_ever_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    async with far_end() as end, kept(end.port) as near:
        for count in range(1, 4):
            await end.until(lambda _, count=count: len(end.connections) == count)  # type: ignore[misc]
            await end.connection.close()
            await near.until("lost", count)
        assert near.delays[:3] == [1, 2, 3]
        monkeypatch.setattr(connection, "STABLE_S", 0.0)
        await end.until(lambda _: len(end.connections) == 4)
        await end.connection.close()
        await near.until("lost", 4)
        await near.until("connected", 5)
        assert near.delays[3] == 1, "one that held begins anew"


def test_delays_grow_and_are_bounded() -> None:
    for failures in range(1, 2_000, 7):
        assert 0.25 <= backoff(failures) <= LONGEST_DELAY_S
    assert max(backoff(1) for _ in range(200)) <= 0.5
    assert min(backoff(10) for _ in range(200)) >= LONGEST_DELAY_S / 2
    assert len({backoff(10) for _ in range(20)}) == 20, "not all at the same moment"


async def test_the_end_of_a_call_does_not_wait_for_anybody_to_answer() -> None:
    async with far_end() as end:
        port = end.port
    async with kept(port) as near:
        near.outbox.put_message("nobody will have this")
        await near.until("refused")
    assert near.connection is not None
    assert not near.connection.stands


async def test_a_far_end_that_never_reads_drops_audio_and_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEND_PATIENCE_S", 0.3)
    async with far_end(reads=False) as end, kept(end.port, greeting=None) as near:
        await end.until(lambda _: end.connections)
        for _ in range(200):  # 60 MB: more than sockets hold
            for _ in range(10):
                near.outbox.put_audio(bytes(30_000))
            await asyncio.sleep(0)
        await near.until("dropped audio")
        assert near.outbox.dropped_frames > 2_000 - 2 * MOST_AUDIO_FRAMES - 300
        await near.until("lost")
        assert "lost: the other end took nothing for 0.3 seconds" in near.told
    assert near.told.count("dropped audio") <= 2, "once for each connection"


async def test_a_far_end_that_is_gone_without_a_trace_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "KEEPALIVE_S", 0.2)
    async with far_end(reads=False) as end, kept(end.port, greeting=None) as near:
        await end.until(lambda _: end.connections)
        end.connection.transport.pause_reading()
        await near.until("lost")
        assert near.told[1] == "lost: it was closed with code 1011: there was no sign of life"


async def test_the_last_words_of_a_call_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FAREWELL_S", 0.1)
    async with far_end(reads=False) as end:
        async with kept(end.port, greeting=None) as near:
            await end.until(lambda _: end.connections)
            for _ in range(100):
                near.outbox.put_message("x" * 200_000)
                await asyncio.sleep(0)
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 1


@pytest.mark.parametrize("size", [dialing.MOST_INCOMING_BYTES, dialing.MOST_INCOMING_BYTES + 1])
async def test_messages_have_a_size(size: int) -> None:
    async with far_end() as end, kept(end.port) as near:
        await end.until(lambda _: end.connections)
        await end.connection.send(bytes(size))
        await near.until("received" if size <= dialing.MOST_INCOMING_BYTES else "lost")
        if size > dialing.MOST_INCOMING_BYTES:
            assert near.told[1] == "lost: it was closed with code 1009: a message was too long"
            await near.until("connected", 2)


async def test_cancelling_leaves_nothing_behind() -> None:
    async with far_end() as end:
        near = Near()
        target = Target(f"ws://far.example:{end.port}/", CALL)
        connection = DataConnection(target, here, ssl.create_default_context(), near.outbox, near)
        running = asyncio.create_task(connection.run())
        await near.until("connected")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await end.until(lambda _: end.closed)
        own = {task for task in asyncio.all_tasks() if "data_connection" in str(task.get_coro())}
        assert {task for task in own if task is not asyncio.current_task()} == set()
