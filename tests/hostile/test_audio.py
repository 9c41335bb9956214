"""Binary frames of sizes and at times that no microphone makes."""

from __future__ import annotations

import asyncio
import io
import json
import wave

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.hostile.house import House
from tests.hostile.sound import RATE, pcm, silence, tone

HEARD = "Hello, can you hear me?"
ANSWER = "Hello! I can hear you."


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


async def until(socket: ClientConnection, role: str, count: int = 1) -> list[str]:
    """Final transcripts of ``role``, as many as ``count``; everything else is read over."""
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            data = await socket.recv()
            if isinstance(data, str):
                message = json.loads(data)
                if message["type"] == "transcript" and message["role"] == role and message["final"]:
                    found.append(message["text"])
    return found


@pytest.mark.parametrize("size", [0, 1, 2, 3, 6601])
async def test_frames_of_any_size(house: House, size: int) -> None:
    """The caller's words come in frames of ``size`` bytes, with an empty and a single byte before them."""
    call = await house.create()
    words = pcm(np.concatenate([tone(0.3), silence(1.0)]))
    async with connect(call["joinUrl"], proxy=None, compression=None) as socket:
        for _ in range(3):
            await socket.send(b"")
        for start in range(0, len(words), size or 640):
            if size == 0:
                await socket.send(b"")
            await socket.send(words[start : start + (size or 640)])
        assert await until(socket, "user") == [HEARD]
        assert await until(socket, "agent") == [ANSWER]
    assert (await house.ended(call))["endReason"] == "hangup"
    (user, _) = await house.messages(call)
    assert seconds(user["timespan"]["start"]) == pytest.approx(0.0, abs=0.1)
    assert seconds(user["timespan"]["end"]) == pytest.approx(0.3, abs=0.1)


async def test_two_megabytes_in_a_frame(house: House) -> None:
    """A minute of sound at once: what is more than 10 s ahead of the call is dropped, and the call goes on."""
    call = await house.create()
    words = pcm(np.concatenate([tone(0.3), silence(62.2)]))
    assert len(words) == 2_000_000
    async with connect(call["joinUrl"], proxy=None, compression=None) as socket:
        await socket.send(words)
        assert await until(socket, "user") == [HEARD]
        assert await until(socket, "agent") == [ANSWER]
        assert "audio_overflow" in await house.events(call)
    assert (await house.ended(call))["endReason"] == "hangup"


async def test_ten_times_as_fast_as_real_time(house: House) -> None:
    """Turns are taken on the audio's own clock until it is 10 s ahead; then there is room again after a while."""
    call = await house.create()
    sentence = pcm(np.concatenate([tone(0.3), silence(1.7)]))
    async with connect(call["joinUrl"], proxy=None, compression=None) as socket:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in range(200):  # 40 s of audio in 4 s
            await asyncio.sleep(max(0.0, started + number * 0.02 - loop.time()))
            part = number % 10 * 6400
            await socket.send(sentence[part : part + 6400])
        users = await until(socket, "user", 4)
        assert users == [HEARD] * 4
        await socket.send(json.dumps({"type": "user_text_message", "text": "Still there?"}))
        assert (await until(socket, "user"))[0]
        assert ANSWER in await until(socket, "agent", 2)
    assert "audio_overflow" in await house.events(call)
    assert (await house.ended(call))["endReason"] == "hangup"
    spoken = [message for message in await house.messages(call) if message["medium"] == "MESSAGE_MEDIUM_VOICE"]
    starts = [seconds(m["timespan"]["start"]) for m in spoken if m["role"] == "MESSAGE_ROLE_USER"]
    assert starts[:4] == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=0.15)


async def test_bursts_of_one_second(house: House) -> None:
    """Turns work, and the record is on the audio's clock."""
    call = await house.create(recordingEnabled=True)
    sound = np.concatenate([silence(0.2), tone(0.5), silence(2.5), tone(0.5), silence(1.3)])
    data = pcm(sound)
    async with connect(call["joinUrl"], proxy=None, compression=None) as socket:
        loop = asyncio.get_running_loop()
        started = loop.time()
        hearing = asyncio.create_task(until(socket, "agent", 2))
        for number in range(5):
            await asyncio.sleep(max(0.0, started + number + 1 - loop.time()))
            await socket.send(data[number * 2 * RATE : (number + 1) * 2 * RATE])
        assert await hearing == [ANSWER, ANSWER]
    assert (await house.ended(call))["endReason"] == "hangup"
    users = [message for message in await house.messages(call) if message["role"] == "MESSAGE_ROLE_USER"]
    assert [message["text"] for message in users] == [HEARD, HEARD]
    spans = [(seconds(m["timespan"]["start"]), seconds(m["timespan"]["end"])) for m in users]
    assert spans == [pytest.approx((0.2, 0.7), abs=0.1), pytest.approx((3.2, 3.7), abs=0.1)]
    async with house.client() as client:
        recording = await client.get(f"/api/calls/{call['callId']}/recording")
    with wave.open(io.BytesIO(recording.content)) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert file.getframerate() == RATE
    assert np.array_equal(both[: len(sound), 0], sound)
    assert np.abs(both[:, 1]).max() > 1000


async def test_no_audio_at_all(house: House) -> None:
    """Whoever only writes is answered; nobody waits for sound where no mediaIdleTimeout was set."""
    written = await house.create()
    async with connect(written["joinUrl"], proxy=None, compression=None) as socket:
        await socket.send(json.dumps({"type": "user_text_message", "text": "Hello?"}))
        assert await until(socket, "agent") == [ANSWER]
    assert (await house.ended(written))["endReason"] == "hangup"


async def test_a_client_with_much_room_gets_all_of_a_long_reply(house: House) -> None:
    """As fast as it is made, and nothing of it lost on the way: 72 s at 48 kHz are 6.9 MB."""
    medium = {"inputSampleRate": 48_000, "clientBufferSizeMs": 600_000}
    call = await house.create(model="long", medium={"serverWebSocket": medium})
    got = 0
    async with connect(call["joinUrl"], proxy=None, compression=None, max_queue=None) as socket:
        await socket.send(json.dumps({"type": "user_text_message", "text": "Tell me all."}))
        async with asyncio.timeout(20):
            while got < 70 * 96_000:
                data = await socket.recv()
                got += len(data) if isinstance(data, bytes) else 0
    assert (await house.ended(call))["endReason"] == "hangup"
