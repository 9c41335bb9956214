"""llama.cpp in its own process, with the real one: what loading, dying and closing do to the server around it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from antiphon.engines import weights
from antiphon.engines.llama_server import LlamaServer
from antiphon.errors import EngineError

pytestmark = pytest.mark.models

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antiphon" / "models"
HELLO = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 200, "stream": True}
WORTH_A_WARNING_S = 0.25

T = TypeVar("T")


def server() -> LlamaServer:
    return LlamaServer(weights.find("qwen2.5-1.5b", FOLDER), threads=2, context_tokens=512, slots=2)


def child_of(server: LlamaServer) -> int:
    assert server._child is not None
    return server._child.process.pid


async def longest_stall_s(work: asyncio.Future[None]) -> float:
    """How late the event loop was at worst until ``work`` was done."""
    worst, loop = 0.0, asyncio.get_running_loop()
    while not work.done():
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - due)
    await work
    return worst


async def test_loading_leaves_the_event_loop_alone_and_a_child_that_died_is_replaced() -> None:
    llama = server()
    try:
        assert llama.processor_s == 0
        assert await longest_stall_s(asyncio.ensure_future(asyncio.to_thread(llama.load))) < WORTH_A_WARNING_S
        assert llama.processor_s > 0.5, "loading alone takes more"
        assert llama.resident_bytes > 1e9, "the model is in the child"
        first = child_of(llama)

        def die_after_the_first_words(chunk: object) -> bool:
            os.kill(first, signal.SIGKILL)
            return False

        with pytest.raises(EngineError) as caught:
            await asyncio.to_thread(llama.chat, HELLO, die_after_the_first_words)
        assert caught.value.retryable
        await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)
        chunks: list[object] = []

        def keep(chunk: object) -> bool:
            chunks.append(chunk)
            return False

        await asyncio.to_thread(llama.chat, {**HELLO, "max_tokens": 3}, keep)
        assert chunks
        assert child_of(llama) != first
    finally:
        llama.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child_of(llama), 0)
    with pytest.raises(EngineError, match="closed"):
        llama.chat(HELLO, lambda chunk: False)


def test_closing_while_the_model_loads_gives_up_at_once() -> None:
    llama = server()
    failed: list[EngineError] = []

    def load() -> None:
        try:
            llama.load()
        except EngineError as error:
            failed.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    while llama._child is None:
        time.sleep(0.001)
    began = time.monotonic()
    llama.close()
    thread.join(10)
    assert time.monotonic() - began < 2, "loading takes four seconds"
    assert [str(error) for error in failed] == ["the language model is closed"]
    assert not failed[0].retryable


def test_a_child_that_loads_ends_at_once_with_a_parent_that_is_killed() -> None:
    """No Python runs in it then, so the kernel has to see to it."""
    path = weights.find("qwen2.5-1.5b", FOLDER)
    loading = "import sys, pathlib; from antiphon.engines.llama_server import LlamaServer as Server; "
    loading += "Server(pathlib.Path(sys.argv[1]), threads=2, context_tokens=512, slots=2).load()"
    with subprocess.Popen([sys.executable, "-c", loading, path]) as parent:
        child = wait_for(lambda: only_child(parent.pid))
        wait_for(lambda: has_open(child, path))
        watched = os.pidfd_open(child)
        began = time.monotonic()
        parent.kill()
    try:
        assert select.select([watched], [], [], 10)[0]
        assert time.monotonic() - began < 1, "loading takes four seconds"
    finally:
        os.close(watched)


def only_child(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def has_open(pid: int, path: Path) -> bool:
    files = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.realpath(file) == os.path.realpath(path) for file in files)


def wait_for(look: Callable[[], T | None]) -> T:
    """What ``look`` finds, as soon as it finds anything, for 20 s."""
    until = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.001)
    return found
