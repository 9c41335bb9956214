"""A server that is killed or stopped in the middle of calls, and what its successor finds."""

from __future__ import annotations

import asyncio
import io
import signal
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.frames import Opcode

from antiphon.client.caller import Caller
from tests.hostile.house import House, running, take_turn, talking
from tests.hostile.raw import RawClient
from tests.hostile.sound import RATE, pcm, silence, tone

STOPPED_S = 6.0
"""The server has ended by then, with whatever clients it had."""

MUCH_ROOM = {"serverWebSocket": {"inputSampleRate": 48_000, "clientBufferSizeMs": 30_000}}


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[House]:
    """A server; others go on while it starts and stops."""
    manager = running(folder)
    house = await asyncio.to_thread(manager.__enter__)
    try:
        yield house
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def finals(caller: Caller) -> list[tuple[str, str]]:
    """Role and text of what the client saw final."""
    messages = [m.body for m in caller.received if m.type == "transcript" and m.body["final"]]
    return [(f"MESSAGE_ROLE_{message['role'].upper()}", message["text"]) for message in messages]


async def recording(house: House, call: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Both sides, a row a sample."""
    async with house.client() as client:
        response = await client.get(f"/api/calls/{call['callId']}/recording")
    assert response.status_code == 200, response.text
    with wave.open(io.BytesIO(response.content)) as file:
        assert file.getframerate() == RATE
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


async def killed(folder: Path) -> None:
    async with served(folder) as first:
        call = await first.create(recordingEnabled=True)
        waiting = await first.create()
        late = await first.create(joinTimeout="0.1s")
        async with talking(call) as caller:
            for _ in range(2):
                await take_turn(caller, tone(0.3))
            since = caller.now
            await caller.say(tone(0.3))
            # No sooner does the client see its words than the server is gone.
            await caller.until_message(
                lambda m: m.type == "transcript" and m.body["role"] == "user", after_s=since, timeout_s=10
            )
            first.process.send_signal(signal.SIGKILL)
            said = caller.now
            assert (await caller.until_closed(10))[0] == 1006
        assert await asyncio.to_thread(first.process.wait, 10) == -signal.SIGKILL
    seen = finals(caller)
    assert len(seen) == 5
    async with served(folder) as second:
        ended = await second.get(call)
        assert ended["endReason"] == "system_error"
        assert ended["joined"] < ended["ended"]
        kept = [(message["role"], message["text"]) for message in await second.messages(call)]
        assert kept == seen
        assert "server_stopped" in await second.events(call)
        sound = await recording(second, call)
        assert said - 0.6 < len(sound) / RATE < said + 0.6
        assert np.abs(sound[:, 0]).max() > 1000
        assert np.abs(sound[:, 1]).max() > 1000
        assert (await second.get(waiting))["endReason"] == "system_error"
        assert (await second.get(late))["endReason"] == "unjoined"
        fresh = await second.create()  # and it goes on as if nothing had been
        async with talking(fresh) as caller:
            assert await take_turn(caller, tone(0.3)) == "Hello! I can hear you."


async def stopped(folder: Path) -> None:
    async with served(folder) as first:
        call = await first.create(recordingEnabled=True)
        silent_call = await first.create(
            model="long", medium=MUCH_ROOM, firstSpeakerSettings={"agent": {"prompt": "Tell me all."}}
        )
        mute_call = await first.create()
        silent = await RawClient.join(silent_call["joinUrl"], receive_buffer=4096)  # reads nothing
        await silent.send(Opcode.BINARY, pcm(silence(1.0, 48_000)))
        mute = await RawClient.join(mute_call["joinUrl"])  # answers nothing
        async with talking(call) as caller:
            await take_turn(caller, tone(0.3))
            since = caller.now
            await caller.say(tone(0.3))
            await caller.until_message(lambda m: m.body.get("state") == "speaking", after_s=since, timeout_s=10)
            first.process.send_signal(signal.SIGTERM)
            stopping = time.monotonic()
            code, reason = await caller.until_closed(STOPPED_S)
            assert code in (1001, 1012)
            assert "stopping" in reason
            assert (await mute.until_closed())[0] in (1001, 1012)
        assert await asyncio.to_thread(first.process.wait, STOPPED_S) == 0
        print(f"stopped after {time.monotonic() - stopping:.1f} s")
        assert "Traceback" not in first.log.read_text()
    async with served(folder) as second:
        for one in (call, silent_call, mute_call):
            assert (await second.get(one))["endReason"] == "system_error"
        kept = [(message["role"], message["text"]) for message in await second.messages(call)]
        assert kept == [(role, text) for role, text in finals(caller) if text]  # nothing heard is no message
        assert np.abs((await recording(second, call))[:, 1]).max() > 1000
    silent.vanish()
    mute.vanish()


async def test_servers_that_end_in_the_middle_of_calls(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "stopped").mkdir()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(killed(tmp_path / "killed"))
        tasks.create_task(stopped(tmp_path / "stopped"))
