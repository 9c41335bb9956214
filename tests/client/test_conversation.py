"""A whole `antiphon call`, with a server that does what the test wants."""

from __future__ import annotations

import json
import os
import signal
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from websockets.asyncio.server import ServerConnection, serve

from antiphon.client import Wav, conversation, write_wav
from antiphon.client.conversation import CallOptions, hold
from antiphon.errors import AntiphonError, CallEnded, JoinRefused, NoAnswer, SetupError

RATE = 16_000
QUESTION = Path(conversation.__file__).parents[1] / "demo" / "capital.wav"


class Agent:
    """The far end of the call: what it says, when the test wants it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def state(self, state: str) -> None:
        await self.socket.send(json.dumps({"type": "state", "state": state}))

    async def words(self, role: str, ordinal: int, text: str) -> None:
        message = {"type": "transcript", "role": role, "ordinal": ordinal, "final": True, "text": text}
        await self.socket.send(json.dumps(message))

    async def hears_speech(self) -> None:
        async for data in self.socket:
            if isinstance(data, bytes) and np.abs(np.frombuffer(data, "<i2")).max() > 3_000:
                return


@asynccontextmanager
async def agent(play: Callable[[Agent], Awaitable[None]]) -> AsyncIterator[str]:
    async def handle(socket: ServerConnection) -> None:
        await play(Agent(socket))
        async for _ in socket:  # else the caller's good-bye would wait behind its audio
            pass

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/call?token=secret"


async def call(url: str, out: Path, wav: Path = QUESTION) -> int:
    options = CallOptions(url, "", "", wavs=(wav,), out=out)
    return await hold(options, Console(quiet=True))


def frames(path: Path) -> int:
    with wave.open(str(path)) as file:
        return int(file.getnframes())


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (4408, "too late", ["4408", "too late", "create another call"]),
        (4409, "used", ["4409", "used", "create another call"]),
        (4404, "no such call", ["4404", "no such call"]),
        (1013, "the server is full", ["1013", "full", "again later"]),
    ],
)
async def test_a_refused_join_is_one_line_and_leaves_nothing(
    code: int, reason: str, words: list[str], tmp_path: Path
) -> None:
    async def refuse(agent: Agent) -> None:
        await agent.socket.close(code, reason)

    with pytest.raises(JoinRefused) as caught:
        async with agent(refuse) as url:
            await call(url, tmp_path / "out")
    assert [word for word in words if word not in str(caught.value)] == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "words"), [(1012, ["1012", "stopping"]), (1011, ["1011", "stopping"]), (1006, ["broke off"])]
)
async def test_a_server_that_stops_in_the_middle_is_one_line_and_leaves_the_files(
    code: int, words: list[str], tmp_path: Path
) -> None:
    async def stop(agent: Agent) -> None:
        await agent.state("listening")
        await agent.hears_speech()
        if code == 1006:
            agent.socket.transport.abort()
        else:
            await agent.socket.close(code, "the server is stopping")

    with pytest.raises(CallEnded) as caught:
        async with agent(stop) as url:
            await call(url, tmp_path)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert frames(tmp_path / "caller.wav") > 0
    assert (tmp_path / "agent.wav").exists()


@pytest.mark.parametrize(("heard", "line"), [(False, r"no speech in capital\.wav.*dB"), (True, "did not answer")])
async def test_no_answer_is_an_error_that_says_whether_the_caller_was_heard(
    heard: bool, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "ANSWER_TIMEOUT_S", 0.5)

    async def silent(agent: Agent) -> None:
        await agent.state("listening")
        await agent.hears_speech()
        if heard:
            await agent.words("user", 0, "What?")

    with pytest.raises(NoAnswer, match=line):
        async with agent(silent) as url:
            await call(url, tmp_path)
    assert frames(tmp_path / "caller.wav") > 0


async def test_an_answer_may_be_longer_than_the_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "ANSWER_TIMEOUT_S", 0.9)

    async def talkative(agent: Agent) -> None:
        await agent.state("listening")
        await agent.hears_speech()
        frames = 0
        async for _ in agent.socket:  # of 20 ms; the question lasts 1.8 s
            frames += 1
            if frames == 100:
                await agent.state("speaking")
            if 100 <= frames < 175:
                await agent.socket.send(bytes(640))
            if frames == 175:
                break
        await agent.words("agent", 1, "A long story.")
        await agent.state("listening")

    async with agent(talkative) as url:
        assert await call(url, tmp_path) == 0
    assert frames(tmp_path / "agent.wav") > 1.4 * RATE


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_hangs_up_and_leaves_the_files(signum: signal.Signals, status: int, tmp_path: Path) -> None:
    async def listen(agent: Agent) -> None:
        await agent.state("listening")
        await agent.hears_speech()
        os.kill(os.getpid(), signum)

    async with agent(listen) as url:
        assert await call(url, tmp_path) == status
    assert frames(tmp_path / "caller.wav") > 0
    assert (tmp_path / "agent.wav").exists()


@pytest.mark.parametrize("level", [0, 20])
async def test_a_silent_recording_is_refused_before_the_call(level: int, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_wav(path, Wav(np.full(RATE, level, np.int16), RATE))
    with pytest.raises(SetupError, match=r"silence\.wav is silent"):
        await call("ws://127.0.0.1:1/", tmp_path, path)


async def test_a_folder_that_cannot_be_written_is_named_before_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(AntiphonError, match=r"cannot write .*--out"):
            await call("ws://127.0.0.1:1/", out)
    (tmp_path / "out" / "caller.wav").mkdir(parents=True)
    with pytest.raises(AntiphonError, match=r"cannot write .*--out"):
        await call("ws://127.0.0.1:1/", tmp_path / "out")
