"""The server as a process of its own, on scripted engines."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from antiphon.errors import DataFolderError, PortInUse, SetupError
from antiphon.process.listener import SEND_BUFFER_BYTES, address, listen
from antiphon.process.startup import greeting, prepare_folder

pytestmark = pytest.mark.server

SCRIPTED = """
shutdown = { drain_s = 0 }
[log]
format = "json"
[voice_activity]
engine = "scripted"
[end_of_turn]
engine = "scripted"
[transcriber]
engine = "scripted"
[models."ultravox-v0.7"]
engine = "scripted"
[voices.Mark]
engine = "scripted"
"""

SERVE = """
import sys
from pathlib import Path
from antiphon.errors import SetupError
from antiphon.config.config import load_config
from antiphon.process.server import serve
try:
    serve(load_config(Path(sys.argv[1]), environment={"HOME": sys.argv[2]}))
except SetupError as error:
    print(error)
    sys.exit(1)
"""


@asynccontextmanager
async def process(folder: Path, text: str = SCRIPTED, port: int = 0) -> AsyncIterator[asyncio.subprocess.Process]:
    file = folder / "antiphon.toml"
    file.write_text(f"port = {port}\n{text}")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, str(file), str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def started(running: asyncio.subprocess.Process) -> tuple[str, str | None]:
    """Address, and the key where one was made."""
    assert running.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not (lines and "-d '" in lines[-1]):
            line = (await running.stdout.readline()).decode()
            assert line, "the server did not start"
            lines.append(line)
    text = "".join(lines)
    url = re.search(r"listens on (\S+)", text)
    key = re.search(r"shown this once: (\S+)", text)
    assert url is not None
    return url[1], key[1] if key else None


async def test_from_the_first_start_to_the_end_and_again(tmp_path: Path) -> None:
    async with process(tmp_path) as running:
        url, key = await started(running)
        assert key is not None
        assert re.fullmatch(r"\w{8}\.\w{32}", key)
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, trust_env=False) as client:
            async with asyncio.timeout(30):
                while (await client.get("/readyz")).status_code != 200:
                    pass
            body = {"medium": {"serverWebSocket": {"inputSampleRate": 16000}}}
            call = (await client.post("/api/calls", json=body)).json()
            async with connect(call["joinUrl"], proxy=None) as caller:
                assert json.loads(await caller.recv())["type"] == "call_started"
                running.send_signal(signal.SIGTERM)
                await caller.wait_closed()
                assert caller.close_code in (1011, 1012)
        output, errors = await asyncio.wait_for(running.communicate(), 20)
        assert running.returncode == 0, errors
        assert b"Traceback" not in output + errors
        assert call["joinUrl"].partition("token=")[2].encode() not in output + errors
        assert key.encode() not in errors
    async with process(tmp_path) as again:
        url, no_key = await started(again)
        assert no_key is None
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, trust_env=False) as client:
            kept = (await client.get(f"/api/calls/{call['callId']}")).json()
        assert kept["endReason"] == "system_error"
        again.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(again.wait(), 20) == 0


@pytest.mark.parametrize(
    ("text", "port", "line"),
    [
        (SCRIPTED.replace("[log]", "hots = 'x'\n[log]"), 0, "hots: is not a known key; did you mean host?"),
        (SCRIPTED.replace("[log]", "data_dir = '/proc/nowhere'\n[log]"), 0, "cannot write /proc/nowhere"),
        (SCRIPTED, 1, "port 1"),
    ],
)
async def test_what_the_operator_has_to_mend_is_one_line(tmp_path: Path, text: str, port: int, line: str) -> None:
    with socket.socket() as taken:
        if port:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            line = f"port {port} on 127.0.0.1 is in use"
        async with process(tmp_path, text, port) as running:
            output, errors = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 1
    assert line in output.decode()
    assert output.count(b"\n") == 1
    assert b"Traceback" not in errors


def test_a_port_in_use_is_named() -> None:
    with closing(listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use.*--port"):
            listen("127.0.0.1", port)
        assert address(first, "127.0.0.1") == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("no.such.host.invalid", r"cannot listen on no\.such.*choose another --host$"),
        ("a" * 70, "cannot listen on aaa.*no host name; choose another --host$"),
        ("192.0.2.1", r"192\.0\.2\.1 is not an address of this machine; choose another --host"),
        ("2001:db8::1", "2001:db8::1 is not an address of this machine; choose another --host|no IPv6"),
        ("127.0.0.1:9000", "give --host an address alone, and --port the port"),
        ("http://127.0.0.1", "give --host an address alone, and --port the port"),
        ("", "--host is empty"),
    ],
)
def test_a_wrong_host_does_not_blame_the_port(host: str, line: str) -> None:
    with pytest.raises(SetupError, match=line) as caught:
        listen(host, 0)
    assert "another --port" not in str(caught.value)


def test_a_reserved_port_does_not_blame_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # whoever runs the tests may be root

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(SetupError, match=r"may not listen on port 80 .*another --port$"):
        listen("127.0.0.1", 80)


def test_a_name_whose_first_address_cannot_be_had_gets_its_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[object]:  # a hosts file with IPv6, a kernel without
        return [
            (family, socket.SOCK_STREAM, 0, "", (place, port))
            for family, place in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "127.0.0.1"))
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with closing(listen("two-addresses", 0)) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::1]"), ("0.0.0.0", "127.0.0.1")]
)
def test_the_address_shown_is_one_that_can_be_opened(host: str, shown: str) -> None:
    with closing(listen(host, 0)) as sock:
        assert address(sock, host) == f"http://{shown}:{sock.getsockname()[1]}"


def test_little_of_the_sound_is_hidden_in_the_kernel() -> None:
    with closing(listen("127.0.0.1", 0)) as sock, socket.create_connection(sock.getsockname()):
        sock.setblocking(True)
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES


def test_the_data_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match="--data-dir"):
        prepare_folder(tmp_path / "file")


def test_the_greeting_holds_a_curl_that_can_be_pasted() -> None:
    text = greeting("http://127.0.0.1:8000", "abc.def")
    body = re.search(r"-d '(.*)'", text)
    assert body is not None
    assert json.loads(body[1])["medium"]
    assert "-H 'X-API-Key: abc.def'" in text
    assert "$ANTIPHON_API_KEY" in greeting("http://127.0.0.1:8000", None)
    assert "antiphon keys create" in greeting("http://127.0.0.1:8000", None)
