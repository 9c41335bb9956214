"""A server in a process of its own, for as long as a block lasts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from antiphon.client.rest import Api
from antiphon.errors import SetupError

START_TIMEOUT_S = 120.0
DRAIN_PATIENCE_S = 2.0
"""For calls that live when the server is stopped: whoever had them has left by then."""

STOP_PATIENCE_S = 60.0
_POLL_S = 0.1


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server_process(port: int, log: Path, arguments: Sequence[str]) -> AsyncIterator[str]:
    """Run ``antiphon serve`` on ``port``; the block begins when it is ready, with its address.

    What the server writes goes to ``log``. Raises :class:`SetupError` with its last line where it does not start.
    """
    command = [sys.executable, "-m", "antiphon.cli", "serve", "--host", "127.0.0.1", "--port", str(port), *arguments]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=asyncio.subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        await _ready(process, url, log)
        yield url
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S), Api(url, "") as api:
            while not await api.ready():
                if process.returncode is not None:
                    raise SetupError(f"the server did not start: {_last_line(log)}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise SetupError(f"the server was not ready after {START_TIMEOUT_S:.0f} s: {_last_line(log)}") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop the server: the first signal lets its live calls go on, the second closes them."""
    try:
        for patience_s in (DRAIN_PATIENCE_S, STOP_PATIENCE_S):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), patience_s)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
