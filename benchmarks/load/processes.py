"""The processes of a run: each pinned to its cores, awaited until it answers, and ended by its own pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.1
BENCHMARKS = Path(__file__).parents[1]
_PINNED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: to end with whoever started it, however that ends
os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
os.execv(sys.argv[2], sys.argv[2:])
"""


class NotStarted(Exception):
    """A process ended, or did not answer, before it was ready; says what it wrote last."""


@contextmanager
def precedence(nice: int) -> Iterator[None]:
    """Let this process, and all that it starts meanwhile, go before others on a shared machine (below 0: as root).

    Where the kernel shares processors out between sessions first (sched(7), "autogroup"), it is the session that
    has to have it.
    """
    if nice == 0:
        yield
        return
    group = Path("/proc/self/autogroup")
    before = group.read_text().split()[-1] if group.exists() else None
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        if before is not None:
            group.write_text(str(nice))
        yield
    finally:
        if before is not None:
            group.write_text(before)


@asynccontextmanager
async def running(
    command: Sequence[str],
    cores: Sequence[int],
    ready_url: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[int]:
    """Run ``command`` on ``cores`` for as long as the block lasts; it begins when ``ready_url`` answers 200.

    Gives the process's pid. What it writes goes to ``log``. Raises :class:`NotStarted`.
    """
    python_path = os.pathsep.join(filter(None, (str(BENCHMARKS), os.environ.get("PYTHONPATH"))))
    # Pipecat runs on onnxruntime, too, which otherwise sends events to its vendor.
    variables = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": python_path, **(environment or {})}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PINNED, ",".join(map(str, cores)), *command),
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=variables,
        )
    try:
        await _ready(process, ready_url, log)
        yield process.pid
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                while process.returncode is None:
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get(url)).status_code == 200:
                            return
                    await asyncio.sleep(POLL_S)
    raise NotStarted(f"not ready ({url}): {_last_line(log)}")


def _last_line(log: Path) -> str:
    written = log.read_text(errors="replace").strip().splitlines()
    return written[-1] if written else "it wrote nothing"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
