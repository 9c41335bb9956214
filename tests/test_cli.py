"""The commands, as a user types them: what they print, and the one plain line when something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import wave
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

import httpx
import numpy as np
import pytest

from antiphon import __version__
from antiphon.engines.weights import DEFAULT_MODELS
from tests.conftest import RealServer

QUESTION = Path(__file__).parents[1] / "src" / "antiphon" / "demo" / "capital.wav"


ENGINES = """
voice_activity = { engine = "scripted" }
transcriber = { engine = "scripted" }
voices.Mark = { engine = "scripted" }
"""


ALL_SCRIPTED = f"""
{ENGINES}
end_of_turn = {{ engine = "none" }}
models.a = {{ engine = "scripted" }}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


async def antiphon(*arguments: str | Path, **environment: str) -> Ran:
    """Run the command in a process of its own, without what the tester's environment may say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon.cli", *arguments),
        env=kept | {"COLUMNS": "200"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def complains(ran: Ran, *words: str) -> None:
    """It ended with exit code 2 and one plain line that has these words; only a server's log may stand before it."""
    *before, last = ran.err.strip().splitlines() or [""]
    assert ran.code == 2, ran
    assert last.startswith("antiphon: "), ran
    assert not [line for line in before if line.startswith(("antiphon: ", "Traceback", "  File"))], ran
    for word in words:
        assert word in last


@pytest.mark.parametrize("command", ["serve", "call", "keys"])
async def test_ctrl_c_amid_the_imports_is_no_traceback(command: str, tmp_path: Path) -> None:
    """The import that is interrupted here stands for all: it stops until the signal has come."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", command),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, err = await process.communicate()
    assert (process.returncode, err) == (-signal.SIGINT, b"")


async def test_version() -> None:
    assert await antiphon("--version") == Ran(0, f"antiphon {__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ["serve", "call", "check", "demo", "capacity", "models", "keys"]),
        (("serve",), ["--host", "--port", "--workers", "--config", "--data-dir", "--log-level", "--pull", "/readyz"]),
        (("call",), ["--wav", "--prompt", "--voice", "--model", "--server", "--key", "question.wav"]),
        (("check",), ["--config", "--data-dir", "fallbacks", "Exit status", "antiphon check --config"]),
        (("models", "pull"), ["1.3 GB", "SHA-256"]),
        (("keys", "create"), ["hash"]),
    ],
)
async def test_help_is_worth_reading(command: tuple[str, ...], words: list[str]) -> None:
    ran = await antiphon(*command, "--help")
    assert ran.code == 0
    for word in words:
        assert word in ran.out


async def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    key = (await antiphon("keys", "create", "my program", *where)).out.strip()
    prefix = key.split(".")[0]
    listed = (await antiphon("keys", "list", *where)).out
    assert prefix in listed
    assert "my program" in listed
    assert key not in listed
    assert (await antiphon("keys", "revoke", prefix, *where)).code == 0
    assert "revoked" in (await antiphon("keys", "list", *where)).out
    complains(await antiphon("keys", "revoke", "nothing", *where), "nothing", "antiphon keys list")


async def test_models_are_listed_with_their_state(tmp_path: Path) -> None:
    listed = await antiphon("models", "list", ANTIPHON_MODELS=str(tmp_path))
    (row,) = [line for line in listed.out.splitlines() if line.startswith("qwen2.5-1.5b")]
    assert "missing" in row
    complains(await antiphon("models", "pull", "nonsense"), "nonsense", "whisper-base")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 8000", ["prot", "port"]),
        ('port = "many"', ["port", "whole number"]),
        ('[transcriber]\nengine = "whisper"\nthread = 2', ["transcriber.thread", "threads"]),
        ("port = ", ["TOML"]),
    ],
)
async def test_a_wrong_configuration_is_named(text: str, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text(text)
    complains(await antiphon("serve", "--config", file, "--data-dir", tmp_path / "data"), str(file), *words)


async def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    complains(await antiphon("serve", "--config", tmp_path / "none.toml"), "none.toml")


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        complains(await antiphon("serve", "--port", port, "--data-dir", tmp_path / "data"), port, "--port")


async def test_a_missing_model_says_how_to_fetch_it(tmp_path: Path) -> None:
    ran = await antiphon(
        "serve", "--port", "0", "--data-dir", tmp_path / "data", ANTIPHON_MODELS=str(tmp_path / "none")
    )
    complains(ran, "antiphon models pull")


async def test_a_wrong_path_of_a_model_is_named_and_not_fetched(tmp_path: Path) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text(f'{ENGINES}models.mine = {{ engine = "llama", path = "none.gguf" }}\n')
    ran = await antiphon("serve", "--port", "0", "--data-dir", tmp_path / "data", "--config", file)
    complains(ran, "models.mine.path", str(tmp_path / "none.gguf"))
    assert "models pull" not in ran.err


async def test_a_server_that_cannot_load_its_models_shows_no_call_and_makes_no_key(tmp_path: Path) -> None:
    for more in ((), ("--workers", "2")):
        ran = await antiphon(
            *("serve", "--port", "0", "--data-dir", tmp_path / "data", *more), ANTIPHON_MODELS=str(tmp_path / "none")
        )
        complains(ran, "antiphon models pull")
        assert ran.out == ""
    assert (await antiphon("keys", "list", "--data-dir", tmp_path / "data")).out.count("\n") == 1


async def test_only_the_models_that_the_configuration_uses_are_fetched(tmp_path: Path) -> None:
    """Through pip, from an empty folder: what is asked for is seen by the index that there is not."""
    file = tmp_path / "antiphon.toml"
    no_index = {"ANTIPHON_MODELS": str(tmp_path / "models"), "PIP_NO_INDEX": "1", "ANTIPHON_CONFIG": str(file)}
    file.write_text(ALL_SCRIPTED)
    ran = await antiphon("models", "pull", **no_index)
    assert ran == Ran(0, "Nothing to fetch: the configuration uses none of these models.\n", "")
    file.write_text(f'{ENGINES}models.a = {{ engine = "scripted" }}\nend_of_turn = {{ engine = "smart-turn" }}\n')
    for command in (("models", "pull"), ("serve", "--pull", "--port", "0", "--data-dir", tmp_path / "data")):
        complains(await antiphon(*command, **no_index), "pipecat-ai")
    listed = (await antiphon("models", "list", **no_index)).out
    for name, used in (("smart-turn", True), ("whisper-base", False), ("silero-vad", False)):
        (row,) = [line for line in listed.splitlines() if line.startswith(name)]
        assert ("not used" in row) is not used


def test_make_fetches_the_default_models_for_tests_and_those_in_use_for_a_server() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert f"MODELS := {' '.join(DEFAULT_MODELS)}\n" in makefile
    assert "test: install-dev models" in makefile
    assert "serve --pull" in makefile


@pytest.mark.parametrize("command", ["keys list", "serve --port 0", "serve --port 0 --workers 2"])
async def test_postgresql_without_its_driver_says_how_to_install_it(command: str, tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text("raise ModuleNotFoundError(\"No module named 'asyncpg'\", name='asyncpg')\n")
    file = tmp_path / "antiphon.toml"
    file.write_text(f'database_url = "postgresql://me:secret@localhost/calls"\n{ALL_SCRIPTED}')
    ran = await antiphon(*command.split(), "--config", file, "--data-dir", tmp_path / "data", PYTHONPATH=str(tmp_path))
    complains(ran, 'pip install "antiphon[postgresql]"', "database_url")
    assert "secret" not in ran.out + ran.err


async def test_the_driver_is_an_extra_of_that_name() -> None:
    assert [need for need in requires("antiphon") or () if "asyncpg" in need and 'extra == "postgresql"' in need]


async def test_a_damaged_model_says_how_to_fetch_it_again(tmp_path: Path) -> None:
    file = tmp_path / "models" / "silero-vad" / "silero_vad_16k_op15.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not these bytes")
    serving = ("serve", "--port", "0", "--data-dir", tmp_path / "data")
    ran = await antiphon(*serving, ANTIPHON_MODELS=str(tmp_path / "models"))
    complains(ran, "antiphon models pull silero-vad")


async def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = await antiphon("serve", "--port", "0", "--data-dir", tmp_path / "file" / "data")
    complains(ran, str(tmp_path / "file"), "--data-dir")


async def test_a_server_that_is_not_there(unused_tcp_port: int) -> None:
    server = f"http://127.0.0.1:{unused_tcp_port}"
    complains(await antiphon("call", "--wav", QUESTION, "--server", server), server, "antiphon serve")


async def test_a_wav_file_that_cannot_be_read(tmp_path: Path) -> None:
    complains(await antiphon("call", "--wav", tmp_path / "none.wav"), "none.wav")


async def test_an_address_that_is_none() -> None:
    complains(await antiphon("call", "--wav", QUESTION, "--server", "8901"), "--server", "localhost:8901")


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (("call", "--wav", QUESTION), ("demo",), ("capacity",)):
        out = tmp_path / "file" / "out"
        complains(await antiphon(*command, "--out", out), str(out), "cannot write", "--out")


async def test_a_silent_wav_is_said_to_be_silent(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(32_000))
    complains(await antiphon("call", "--wav", path), "silence.wav", "silent")


@pytest.mark.server
async def test_a_call_without_a_key(real_server: RealServer) -> None:
    ran = await antiphon("call", "--wav", QUESTION, "--server", real_server.url)
    complains(ran, "--key", "ANTIPHON_API_KEY", "antiphon keys create")


@pytest.mark.server
async def test_a_join_url_of_no_call(real_server: RealServer) -> None:
    url = real_server.url.replace("http", "ws") + "/calls/none?token=none"
    ran = await antiphon("call", url, "--wav", QUESTION)
    complains(ran, "joinUrl")


@pytest.mark.server
async def test_ctrl_c_in_a_call_leaves_the_files(real_server: RealServer, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon.cli", "call", "--wav", QUESTION, "--out", tmp_path),
        *("--server", real_server.url.removeprefix("http://"), "--key", real_server.key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"(listening)" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
    for name in ("caller.wav", "agent.wav"):
        assert (tmp_path / name).exists()


@pytest.mark.server
async def test_a_call_whose_output_nobody_reads_ends_without_a_traceback(
    real_server: RealServer, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon.cli", "call", "--wav", QUESTION, "--out", tmp_path),
        *("--server", real_server.url, "--key", real_server.key),
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    async with asyncio.timeout(60):
        await asyncio.to_thread(os.read, reading, 5)  # the call's id: from now on nobody reads
        os.close(reading)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (128 + signal.SIGPIPE, b"")


@pytest.mark.server
async def test_a_wrong_key(real_server: RealServer) -> None:
    ran = await antiphon("call", "--wav", QUESTION, "--server", real_server.url, "--key", "wrong")
    complains(ran, "--key", "ANTIPHON_API_KEY")


@pytest.mark.server
async def test_an_unknown_voice(real_server: RealServer) -> None:
    where = ("--server", real_server.url, "--key", real_server.key)
    complains(await antiphon("call", "--wav", QUESTION, "--voice", "Nobody", *where), "Nobody", "Mark")


@pytest.mark.server
@pytest.mark.models
async def test_a_language_that_there_is_not(embedded_server: RealServer) -> None:
    where = ("--server", embedded_server.url, "--key", embedded_server.key)
    complains(
        await antiphon("call", "--wav", QUESTION, "--language", "klingon", *where), "400", "languageHint", "klingon"
    )


@pytest.mark.server
async def test_a_call_from_a_file_is_printed_and_kept(real_server: RealServer, tmp_path: Path) -> None:
    ran = await antiphon(
        *("call", "--wav", QUESTION, "--out", tmp_path / "out", "--server", real_server.url),
        ANTIPHON_API_KEY=real_server.key,
    )
    assert ran.code == 0, ran.err
    assert "Hello, can you hear me?" in ran.out
    assert "Hello! I can hear you. How can I help?" in ran.out
    assert "median" in ran.out
    with wave.open(str(tmp_path / "out" / "agent.wav")) as file:
        assert np.count_nonzero(np.frombuffer(file.readframes(file.getnframes()), np.int16)) > 8_000


@pytest.mark.server
async def test_a_join_url_that_was_used(real_server: RealServer, tmp_path: Path) -> None:
    wav = ("--wav", QUESTION, "--out", tmp_path / "out")
    async with httpx.AsyncClient(base_url=real_server.url, headers={"X-API-Key": real_server.key}) as client:
        medium = {"serverWebSocket": {"inputSampleRate": 16000}}
        call = (await client.post("/api/calls", json={"medium": medium, "firstSpeakerSettings": {"user": {}}})).json()
    assert (await antiphon("call", call["joinUrl"], *wav)).code == 0
    complains(await antiphon("call", call["joinUrl"], *wav), "call")


@pytest.mark.server
@pytest.mark.models
async def test_the_demo(tmp_path: Path) -> None:
    """A whole call with real speech and the embedded models over a real socket, judged by its own sound."""
    ran = await antiphon("demo", "--out", tmp_path)
    assert ran.code == 0, ran.out + ran.err
    assert "(interrupted)" in ran.out
    kept = json.loads((tmp_path / "call.json").read_text())
    assert kept["complaints"] == []
    assert len(kept["turns"]) == 4
    assert kept["wordErrorRate"] <= 0.25
    for name in ("caller.wav", "agent.wav"):
        with wave.open(str(tmp_path / name)) as file:
            assert file.getnframes() > 10 * file.getframerate()
