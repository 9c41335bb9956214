"""A server that is stopped: live calls go on for a while, and then are closed; a real process, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from antiphon.process.stopping import waiting_line
from antiphon.store.database import Database
from antiphon.store.repositories import Repositories
from tests.support.workers import CALL, Caller, Crew, crew, joined, until

pytestmark = pytest.mark.server

LONG = "There is much to say about this. " * 200


async def stopping(server: Crew) -> None:
    """Wait until it says that it stops."""
    async with asyncio.timeout(20):
        while True:
            answer = await server.client.get("/readyz")
            if answer.json()["status"] == "stopping":
                assert answer.status_code == 503
                assert "Retry-After" in answer.headers
                return
            await asyncio.sleep(0.05)


async def record(server: Crew, call_id: str) -> tuple[str | None, list[str]]:
    """How the call ended, and its events, once the server has ended."""
    database = await Database.open(server.database_url)
    try:
        store = Repositories.of(database)
        found = await store.calls.get(call_id)
        assert found is not None
        assert found.ended is not None
        events = [event.type for event in await store.events.of_call(call_id)]
        return found.end_reason and found.end_reason.value, events
    finally:
        await database.close()


def left(server: Crew) -> list[Path]:
    return list((server.data_dir / "live").rglob("*.jsonl"))


async def ended(server: Crew) -> None:
    assert await asyncio.wait_for(server.process.wait(), 60) == 0
    assert left(server) == []
    assert "Traceback" not in server.log.read_text()


async def live(server: Crew, stack: AsyncExitStack) -> tuple[str, Caller]:
    call = await server.create()
    return call["callId"], await stack.enter_async_context(joined(call))


@pytest.mark.parametrize("workers", [1, 2])
async def test_live_calls_go_on_new_ones_are_refused_and_the_last_one_ends_the_wait(
    workers: int, tmp_path: Path
) -> None:
    async with crew(tmp_path, workers, drain_s=200) as server, AsyncExitStack() as stack:
        calls = [await live(server, stack) for _ in range(2)]
        waiting = await server.create(joinTimeout="300s")
        await until(lambda: len(server.log.read_text().split("call_joined")) == 3, 20)
        await asyncio.gather(*(caller.heard("state", state="listening") for _, caller in calls))
        server.process.send_signal(signal.SIGTERM)
        await stopping(server)

        refused = await server.client.post("/api/calls", json=CALL)
        assert refused.status_code == 503
        assert "the server is stopping" in refused.json()["detail"]
        late = Caller(await stack.enter_async_context(connect(waiting["joinUrl"], proxy=None)))
        await asyncio.wait_for(late.listen(), 20)
        assert late.closed == 1012
        assert late.socket.close_reason == "the server is stopping"
        assert (await server.call(waiting["callId"]))["endReason"] == "system_error"
        for call_id, caller in calls:
            assert (await server.call(call_id))["ended"] is None
            message = {"type": "user_text_message", "text": "Are you there?"}
            async with server.other_client() as client:
                sent = await client.post(f"/api/calls/{call_id}/send_data_message", json=message)
            assert sent.status_code == 204
            await caller.heard("transcript", role="agent", final=True)
        lines = [line for line in server.log.read_text().splitlines() if "the server is stopping: " in line]
        assert [json.loads(line)["event"] for line in lines] == [waiting_line(2, 200)]
        await calls[0][1].socket.close()
        await calls[1][1].socket.close()
        await ended(server)
        for call_id, _ in calls:
            assert (await record(server, call_id))[0] == "hangup"
        reason, events = await record(server, waiting["callId"])
        assert reason == "system_error"
        assert "server_stopped" in events


@pytest.mark.parametrize(("workers", "drain_s"), [(1, 200), (2, 200), (1, 1)])
async def test_what_still_lives_is_closed_by_a_second_signal_or_when_its_time_is_up(
    workers: int, drain_s: float, tmp_path: Path
) -> None:
    async with crew(tmp_path, workers, drain_s=drain_s, reply=LONG) as server, AsyncExitStack() as stack:
        calls = [await live(server, stack) for _ in range(3)]
        server.process.send_signal(signal.SIGINT)
        if drain_s > 1:
            await stopping(server)
            assert [caller.closed for _, caller in calls] == [None] * 3
            server.process.send_signal(signal.SIGINT)
        for _, caller in calls:
            await caller.over()
            assert caller.closed == 1012
        await ended(server)
        for call_id, _ in calls:
            reason, events = await record(server, call_id)
            assert reason == "system_error"
            assert events.count("server_stopped") == 1


async def test_a_worker_that_is_told_to_stop_lets_its_calls_go_on_and_gets_no_new_ones(tmp_path: Path) -> None:
    async with crew(tmp_path, 2, drain_s=200) as server, AsyncExitStack() as stack:
        calls = [await live(server, stack) for _ in range(2)]
        owners = await server.owners()
        pids = server.pids()
        theirs = [caller for call_id, caller in calls if owners[call_id] == "w2"]
        assert theirs, "connections go to the worker with the fewest calls"
        os.kill(pids["w2"], signal.SIGTERM)
        await until(lambda: "the server is stopping: " in server.log.read_text(), 20)
        for _ in range(4):
            async with server.other_client() as client:
                assert (await client.post("/api/calls", json=CALL)).status_code == 201
        assert [caller.closed for caller in theirs] == [None] * len(theirs)
        for caller in theirs:
            await caller.socket.close()
        await server.ready(3)
        assert set(server.pids()) == {"w1", "w3"}
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGINT)
        await ended(server)


PATIENT = """
import asyncio, sys
from antiphon.process.signals import Signals
async def main(signals):
    done = asyncio.Event()
    signals.tell(lambda number: print(number, flush=True) if number < int(sys.argv[1]) else done.set())
    print("ready", flush=True)
    await done.wait()
with Signals() as signals:
    asyncio.run(main(signals))
print("closed", flush=True)
sys.stdin.read()
"""


def patient(last: int) -> subprocess.Popen[Any]:
    command = [sys.executable, "-c", PATIENT, str(last)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_third_signal_kills() -> None:
    process = patient(9)
    assert process.stdout is not None
    for number, signum in enumerate((signal.SIGTERM, signal.SIGINT), 1):
        process.send_signal(signum)
        assert process.stdout.readline() == f"{number}\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def test_a_signal_to_a_process_that_has_stopped_in_order_does_not_spoil_its_status() -> None:
    process = patient(1)
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "closed\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate("")
    assert process.returncode == 0


def test_one_line_says_what_is_waited_for() -> None:
    assert waiting_line(1, 300) == (
        "the server is stopping: 1 live call goes on for 300 s at most; a second signal (Ctrl-C) closes them at once"
    )
    assert "12 live calls go on for 0.5 s at most" in waiting_line(12, 0.5)
