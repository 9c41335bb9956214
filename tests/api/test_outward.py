"""Nothing leaves the machine, and nothing is written outside Antiphon's own folders: seen by strace."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from antiphon.client.rest import Api
from antiphon.config.config import load_config
from antiphon.demo.server_process import free_port
from tests.support.tracing import HOW_TO, Trace, traceable, traced
from tests.test_cli import antiphon

ROOT = Path(__file__).parents[2]
QUESTION = ROOT / "src" / "antiphon" / "demo" / "capital.wav"
START_S = 120.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own, but for the models, which are large."""
    if not traceable():
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO)
        pytest.skip(HOW_TO)
    folder = tmp_path / "home"
    (folder / "tmp").mkdir(parents=True)
    return folder


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "TMPDIR": str(home / "tmp"), "ANTIPHON_MODELS": str(load_config().models_dir)}


def kept_to_itself(trace: Trace, home: Path, *own: Path) -> None:
    """It reached no other machine, asked for no name, wrote to ``own`` folders, and left no temporary file."""
    assert trace.lines, "strace saw nothing"
    assert trace.reached() == set()
    temporary, devices = home / "tmp", Path("/dev")
    strange = {
        path
        for path in trace.wrote()
        if not any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in (*own, temporary, devices))
    }
    assert strange == set()
    assert list(temporary.iterdir()) == []
    assert {path.name for path in home.iterdir()} <= {".local", ".cache", "tmp"}
    assert not (home / ".cache" / "Microsoft").exists()


@pytest.mark.server
@pytest.mark.models
async def test_a_default_server_reaches_no_other_machine_and_writes_to_its_own_folders_only(
    home: Path, tmp_path: Path
) -> None:
    port, log, file = free_port(), tmp_path / "log", tmp_path / "trace"
    url = f"http://127.0.0.1:{port}"
    server = await traced(file, "serve", "--port", str(port), environment=environment(home), log=log)
    try:
        async with asyncio.timeout(START_S), Api(url, "") as api:
            while not await api.ready():
                assert server.returncode is None, log.read_text()
                await asyncio.sleep(0.1)
        key = re.search(r"shown this once: (\S+)", log.read_text())
        assert key is not None
        ran = await antiphon(
            *("call", "--wav", QUESTION, "--out", tmp_path / "out", "--server", url), ANTIPHON_API_KEY=key[1]
        )
        assert ran.code == 0, ran.err
        assert "France" in ran.out
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            code = await server.wait()
    assert code == 0, log.read_text()
    kept_to_itself(Trace.read(file), home, home / ".local" / "share" / "antiphon")


@pytest.mark.models
async def test_a_check_of_the_default_engines_reaches_no_other_machine_either(home: Path, tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "trace"
    running = await traced(file, "check", environment=environment(home), log=log)
    async with asyncio.timeout(START_S):
        assert await running.wait() == 0, log.read_text()
    kept_to_itself(Trace.read(file), home, home / ".local" / "share" / "antiphon")


def test_the_trace_is_read_as_it_is_meant() -> None:
    lines = (
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = 0',
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16 <unfinished ...>',
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        "7 connect(5, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (x)',
        '7 openat(AT_FDCWD</home>, "a/b", O_WRONLY|O_CREAT, 0666) = 3</home/a/b>',
        '7 openat(AT_FDCWD</home>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>',
        '7 openat(9</data>, "c", O_RDWR) = -1 ENOENT (No such file or directory)',
        '7 rename("/x/1", "/y/2") = 0',
        '7 unlinkat(9</data>, "d", 0) = 0',
    )
    trace = Trace(lines)
    assert trace.reached() == {"10.0.0.2:53", "127.0.0.53:53", "2001:db8::1:443"}
    assert trace.wrote() == {Path("/home/a/b"), Path("/x/1"), Path("/y/2"), Path("/data/d")}


def test_nothing_imports_onnxruntime_before_its_telemetry_is_off() -> None:
    """In the package `antiphon` comes first by itself, in tests by conftest, in programs by an import in a function."""
    for file in [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").glob("*.py")]:
        for node in ast.parse(file.read_text()).body:
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in names} & {"onnxruntime", "hibari"}, file
