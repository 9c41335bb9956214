"""Far ends that may not be reached, are lost, never read, or are left: the call goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from antiphon.media.data_connection.outbox import MOST_AUDIO_FRAMES, Outbox
from antiphon.session import data_connections, data_participant
from antiphon.session.data_connections import DataConnections
from antiphon.tools.ssrf_guard import SsrfGuard
from tests.session.test_data_participant import TURN, call, wanted
from tests.support.far_end import far_end


async def test_an_address_that_may_not_be_reached_is_refused_and_the_call_goes_on() -> None:
    async with far_end() as end:
        async with call(f"ws://localhost:{end.port}/secret-path?token=secret", ssrf_guard=SsrfGuard()) as live:
            live.ask()
            await live.until(lambda: live.texts("agent"))
        assert end.requests == []
    noted = [event for event in live.record.noted if event.type.startswith("data_connection")]
    assert [event.type for event in noted] == ["data_connection_refused"], "noted once, however often it is tried"
    assert "is not a public address" in noted[0].text
    assert "secret" not in noted[0].text


async def test_a_redirect_to_an_address_that_may_not_be_reached_is_refused() -> None:
    async with far_end() as inside, far_end() as end:
        end.answers = [(307, {"Location": f"ws://127.0.0.2:{inside.port}/"})] * 1_000
        async with call(end.url, ssrf_guard=SsrfGuard(allowed=("127.0.0.1",))) as live:
            await live.until(lambda: "data_connection_refused" in live.record.kinds())
        assert inside.requests == []
    assert "127.0.0.2 is not a public address" in live.record.noted[0].text


async def test_a_lost_connection_is_noted_and_made_again() -> None:
    async with far_end() as end, call(end.url) as live:
        await end.until_message("call_started")
        await end.connection.close(1011, "crashed")
        await end.until_message("call_started", 2)
        live.ask()
        await live.until(lambda: live.texts("agent"))
        await end.until(
            lambda _: (
                [m["text"] for m in end.messages("transcript") if m["final"]] == ["What is it?", *live.texts("agent")]
            )
        )
    kinds = [kind for kind in live.record.kinds() if kind.startswith("data_connection")]
    assert kinds == ["data_connection_connected", "data_connection_lost", "data_connection_connected"]
    assert all(len(kind) <= 50 for kind in kinds)


async def test_a_far_end_that_never_reads_does_not_hurt_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    outboxes: list[Outbox] = []

    class Seen(Outbox):
        def __init__(self, on_dropped: Callable[[str], None]) -> None:
            super().__init__(on_dropped)
            outboxes.append(self)

    monkeypatch.setattr(data_participant, "Outbox", Seen)
    reply = "A reply that is so long that a stutter would be heard in it somewhere, if there were one."
    audio = {"audioConfig": {"sampleRate": 48_000}}
    async with far_end(reads=False) as end, call(end.url, replies=(reply,), connection=audio) as live:
        await end.until(lambda _: end.connections)
        for _ in range(MOST_AUDIO_FRAMES):  # so much that it can be sent no more, at once
            outboxes[0].put_audio(bytes(60_000))
            await asyncio.sleep(0)
        await live.client.speak(TURN + "." * 30)
        await live.until(lambda: live.texts("agent") == [reply])
        sent = [item.at for item in live.client.received if item.audio is not None]
        assert live.client.underruns == 0
        assert live.client.gaps() == []
        assert max(later - sooner for sooner, later in pairwise(sent)) < 0.1
    assert "data_connection_dropped" in live.record.kinds()
    assert live.record.kinds().count("data_connection_dropped") == 1


async def test_a_server_that_stops_waits_for_the_last_words_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = DataConnections(SsrfGuard(allow_private=True))
    parts = wanted("ws://127.0.0.1:1", connections)
    monkeypatch.setattr(data_connections, "LAST_WORDS_S", 0.2)
    said: list[str] = []

    async def brief() -> None:
        await asyncio.sleep(0.01)
        said.append("good-bye")

    async def for_ever() -> None:
        await asyncio.Event().wait()

    parts.run(brief())
    parts.run(for_ever())
    async with asyncio.timeout(2):
        await connections.aclose()
    assert said == ["good-bye"]


# Audio
