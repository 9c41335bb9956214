"""Two servers on one data folder: the second ends with one line, and nothing happens to the first one's calls."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from antiphon.config.config import Config
from antiphon.errors import DataFolderError
from antiphon.process.folder_lock import NAME, locked
from tests.conftest import SCRIPTED, RealServer
from tests.test_cli import antiphon, complains

HOLD = """
import sys, subprocess
from pathlib import Path
from antiphon.process.folder_lock import locked
with locked(Path(sys.argv[1])) as descriptors:
    if sys.argv[2] == "worker":
        code = "import sys; print('worker', flush=True); sys.stdin.read()"
        subprocess.Popen([sys.executable, "-c", code], pass_fds=descriptors)
    else:
        print("held", flush=True)
    sys.stdin.read() if sys.argv[2] == "alone" else __import__("signal").pause()
"""


def holder(folder: Path, kind: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.mark.server
async def test_a_second_server_ends_with_one_line_and_the_first_ones_calls_live_on(
    real_server: RealServer, tmp_path: Path
) -> None:
    file = tmp_path / "antiphon.toml"
    postgres = 'database_url = "postgresql://me@127.0.0.1:1/calls"\n'
    headers = {"X-API-Key": real_server.key}
    async with httpx.AsyncClient(base_url=real_server.url, headers=headers, trust_env=False) as client:
        body = {"medium": {"serverWebSocket": {"inputSampleRate": 16000}}, "firstSpeakerSettings": {"user": {}}}
        call = (await client.post("/api/calls", json=body)).json()
        waiting = (await client.post("/api/calls", json={**body, "joinTimeout": "300s"})).json()
        async with connect(call["joinUrl"], proxy=None) as caller:
            await caller.recv()
            arguments = ("serve", "--port", "0", "--data-dir", real_server.data_dir, "--config", file)
            for config, more in ((SCRIPTED, ()), (SCRIPTED, ("--workers", "2")), (postgres + SCRIPTED, ())):
                file.write_text(config)
                ran = await antiphon(*arguments, *more)
                complains(ran, str(real_server.data_dir), "in use by another server (process ", "--data-dir")
                assert ran.out == ""
            assert (await client.get(f"/api/calls/{call['callId']}")).json()["ended"] is None
            await caller.ping()
            assert (await client.get(f"/api/calls/{waiting['callId']}")).json()["ended"] is None
    made = await antiphon("keys", "create", "beside", "--data-dir", real_server.data_dir)
    assert made.code == 0, "keys are made beside a running server"


def test_the_lock_of_a_server_that_crashed_does_not_stay(tmp_path: Path) -> None:
    process = holder(tmp_path, "alone")
    with (
        pytest.raises(DataFolderError, match=f"in use by another server \\(process {process.pid}\\)"),
        locked(tmp_path),
    ):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_the_workers_of_a_front_that_was_killed_are_waited_for(tmp_path: Path) -> None:
    process = holder(tmp_path, "worker")
    assert process.stdin is not None
    process.kill()
    process.wait()
    began = time.monotonic()
    # The worker, which still holds the folder, ends when its standard input does: here, some time after we asked.
    closing = subprocess.Popen(["sleep", "0.5"], stdin=subprocess.DEVNULL)
    threading.Thread(target=lambda: (closing.wait(), process.stdin.close()), daemon=True).start()  # type: ignore[union-attr]
    with locked(tmp_path):
        assert time.monotonic() - began > 0.4


def test_a_sqlite_file_elsewhere_is_locked_too(tmp_path: Path) -> None:
    first, second, database = tmp_path / "first", tmp_path / "second", tmp_path / "db" / "calls.db"
    for folder in (first, second, database.parent):
        folder.mkdir()
    with (
        locked(first, database),
        pytest.raises(DataFolderError, match=r"the database .*calls\.db is in use by another server"),
        locked(second, database),
    ):
        pass
    with locked(second, database):
        assert (second / NAME).exists()


def test_which_file_the_database_is(tmp_path: Path) -> None:
    assert Config(data_dir=tmp_path).database_file == tmp_path / "antiphon.db"
    elsewhere = Config.model_validate({"data_dir": tmp_path, "database_url": "sqlite:////var/lib/calls.db"})
    assert elsewhere.database_file == Path("/var/lib/calls.db")
    remote = Config.model_validate({"data_dir": tmp_path, "database_url": "postgresql://me@host/calls"})
    assert remote.database_file is None
