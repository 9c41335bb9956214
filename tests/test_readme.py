"""The README's commands and programs do what the README says, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from antiphon.demo.server_process import free_port
from tests.conftest import RealServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUESTION = "examples/question.wav"
LONGEST_PROGRAM = 38
"""With the REST half and the WebSocket half, the microphone and the loudspeaker."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def need(*commands: str) -> None:
    """Skip the test where this machine lacks a command. In CI it fails."""
    if missing := [command for command in commands if shutil.which(command) is None]:
        assert not os.environ.get("CI"), f"CI has no {missing}"
        pytest.skip(f"this machine has no {' and no '.join(missing)}")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the commands need of a clone, after `make`."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


async def output(*command: str | Path, folder: Path, **environment: str) -> str:
    """What the command prints; it has to end by itself, and well."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=kept | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(180):
        printed, errors = await process.communicate()
    assert process.returncode == 0, (printed + errors).decode()
    return printed.decode().strip()


def sound(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.mark.server
@pytest.mark.models
async def test_every_command_after_make_works_as_it_stands(embedded_server: RealServer, clone: Path) -> None:
    need("node", "npm")
    commands = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("make ")]
    assert len(commands) >= 5
    script = "\n".join(f"echo '$ {line}'\n{line}" for line in commands)
    printed = await output(
        *("bash", "-euo", "pipefail", "-c", script),
        folder=clone,
        ANTIPHON_URL=embedded_server.url,
        ANTIPHON_DATA_DIR=str(embedded_server.data_dir),
    )
    by_command = {part.split("\n")[0]: part for part in printed.split("$ ") if part}
    for word in ("antiphon call", "talk.py", "talk.mjs"):
        (shown,) = [part for command, part in by_command.items() if word in command]
        assert "capital" in shown.lower(), shown
        assert "paris" in shown.lower(), shown
    assert np.abs(sound(clone / "answer.wav")).max() > 3_000, "the answer can be heard"


@asynccontextmanager
async def interrupted_server() -> AsyncIterator[str]:
    """A server that sends 10 s of sound at once and takes it back after half a second."""
    port = free_port()

    async def create(request: web.Request) -> web.Response:
        assert request.headers["X-API-Key"] == "key"
        return web.json_response({"joinUrl": f"ws://127.0.0.1:{port}/join"}, status=201)

    async def join(request: web.Request) -> web.WebSocketResponse:
        call = web.WebSocketResponse()
        await call.prepare(request)
        await call.send_json({"type": "state", "state": "speaking"})
        await call.send_bytes(np.full(160_000, 9_000, "<i2").tobytes())
        for _ in range(25):  # frames of 20 ms: the caller's clock
            assert len(await call.receive_bytes()) == 640
        await call.send_json({"type": "playback_clear_buffer"})
        for _ in range(10):
            await call.receive_bytes()
        await call.send_str(json.dumps({"type": "transcript", "role": "user", "final": True, "text": "Wait."}))
        await call.send_str(json.dumps({"type": "transcript", "role": "agent", "final": True, "text": "Yes."}))
        await call.send_json({"type": "state", "state": "listening"})
        async for _ in call:
            pass
        return call

    app = web.Application()
    app.add_routes([web.post("/api/calls", create), web.get("/join", join)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("language", ["python", "js"])
async def test_an_interruption_drops_what_is_unplayed(language: str, clone: Path) -> None:
    command: tuple[str | Path, ...] = (sys.executable, "examples/talk.py")
    if language == "js":
        need("node", "npm")
        await output("npm", "install", "--prefix", "examples", folder=clone)
        command = ("node", "examples/talk.mjs")
    async with interrupted_server() as url:
        printed = await output(*command, QUESTION, folder=clone, ANTIPHON_URL=url, ANTIPHON_API_KEY="key")
    assert printed.splitlines() == ["user said: Wait.", "agent said: Yes."]
    heard_s = np.count_nonzero(sound(clone / "answer.wav")) / 16_000
    assert 0 < heard_s < 2, "some of the 10 s: a busy machine sends frames in bursts, and before it has the sound"


@pytest.mark.parametrize(("language", "file"), [("python", "talk.py"), ("js", "talk.mjs")])
def test_the_programs_are_those_in_the_folder_and_short(language: str, file: str) -> None:
    (program,) = blocks(language)
    assert program == (ROOT / "examples" / file).read_text(encoding="utf-8")
    assert len([line for line in program.splitlines() if line]) <= LONGEST_PROGRAM


def test_the_example_is_what_the_programs_take() -> None:
    assert len(sound(ROOT / QUESTION)) > 16_000
    assert (ROOT / QUESTION).read_bytes()[36:40] == b"data", "a header of 44 bytes"


def test_the_first_screen_has_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen
