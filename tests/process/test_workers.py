"""Several processes that share one server's work: real ones, on scripted engines. A client cannot tell."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.support.postgres import HOW_TO, find_binaries, private_server
from tests.support.workers import CALL, WRITING, Caller, Crew, crew, joined, until

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

CALLS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    async with crew(tmp_path_factory.mktemp("crew")) as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    binaries = find_binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO)
        pytest.skip(HOW_TO)
    with private_server(binaries) as url:
        yield url


async def say(client: httpx.AsyncClient, call: dict[str, Any], words: str) -> int:
    message = {"type": "user_text_message", "text": words}
    return (await client.post(f"/api/calls/{call['callId']}/send_data_message", json=message)).status_code


async def metric(client: httpx.AsyncClient, name: str) -> float:
    shown = (await client.get("/metrics")).text
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", shown, re.MULTILINE))


async def test_a_call_is_joined_at_any_worker_and_reached_by_rest_wherever_it_is(server: Crew) -> None:
    posts = 'antiphon_http_requests_total{method="POST",status="204"}'
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.other_client()) for _ in range(2)]
        seen: dict[str, tuple[dict[str, Any], Caller]] = {}
        creators = set()
        for _ in range(8):
            call = await server.create(**WRITING)
            shown = [(await client.get(f"/api/calls/{call['callId']}")).json() for client in clients]
            assert [each["joinUrl"] for each in shown] == [call["joinUrl"]] * 2
            assert [await say(client, call, "too early") for client in clients] == [422, 422]
            creators.add((await server.owners())[call["callId"]])
            caller = await stack.enter_async_context(joined(call))
            seen.setdefault((await server.owners())[call["callId"]], (call, caller))
            if len(seen) == 2:
                break
        assert len(creators) == 1, "a connection stays where it is"
        assert set(seen) == {"w1", "w2"}
        before = await metric(server.client, posts)
        for call, caller in seen.values():
            for number, client in enumerate((server.client, *clients)):
                assert await say(client, call, f"words {number}") == 204
                await caller.heard("transcript", role="user", text=f"words {number}")
                assert (await client.get(f"/api/calls/{call['callId']}")).json()["joinUrl"] is None
                assert (await client.delete(f"/api/calls/{call['callId']}")).status_code == 422
            unknown = await server.client.post(f"/api/calls/{call['callId']}/send_data_message", json={"type": "nope"})
            assert unknown.status_code == 400
        assert await metric(server.client, posts) - before == 6, "one that is handed on is one"
        bad = httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": "wrong"}, trust_env=False)
        async with bad:
            assert [await say(bad, call, "hello") for call, _ in seen.values()] == [401, 401]


async def test_a_message_reaches_a_call_as_soon_as_its_socket_is_open_whichever_worker_is_asked(server: Crew) -> None:
    async with server.other_client() as other:
        for number in range(6):
            call = await server.create(**WRITING)
            async with connect(call["joinUrl"], proxy=None) as socket:
                assert [await say(client, call, f"words {number}") for client in (server.client, other)] == [204, 204]
                assert (await server.call(call["callId"]))["joined"]
                assert "call_started" in await socket.recv()


async def hold(server: Crew, stack: AsyncExitStack, number: int) -> tuple[dict[str, Any], Caller]:
    call = await server.create(**WRITING, metadata={"number": str(number)})
    return call, await stack.enter_async_context(joined(call))


async def talk(server: Crew, call: dict[str, Any], caller: Caller, lines: int) -> None:
    async with server.other_client() as client:
        for line in range(lines):
            assert await say(client, call, f"line {line}") == 204
            await caller.heard("transcript", role="user", text=f"line {line}")


async def many_calls(server: Crew, lines: int = 5) -> None:
    """Twenty at once, balanced, counted, and every word on record."""
    before = await metric(server.client, "antiphon_calls_created_total")
    async with AsyncExitStack() as stack:
        calls = await asyncio.gather(*(hold(server, stack, number) for number in range(CALLS)))
        owners = await server.owners()
        spread = Counter(owners[call["callId"]] for call, _ in calls)
        assert max(spread.values()) <= 12, spread
        async with server.other_client() as other:
            for client in (server.client, other):
                assert await metric(client, "antiphon_live_calls") == CALLS
                assert await metric(client, "antiphon_calls_created_total") - before == CALLS
        await asyncio.gather(*(talk(server, call, caller, lines) for call, caller in calls))
    for call, _ in calls:
        ended: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while not ended.get("ended"):
                ended = await server.call(call["callId"])
        assert ended["endReason"] == "hangup"
        path = f"/api/calls/{call['callId']}/messages"
        kept = (await server.client.get(path, params={"pageSize": 100})).json()["results"]
        said = [message["text"] for message in kept if message["role"] == "MESSAGE_ROLE_USER"]
        assert said == [f"line {line}" for line in range(lines)]
    assert server.troubles() == []
    assert "locked" not in server.log.read_text()


async def test_twenty_calls_at_once_lose_nothing(server: Crew) -> None:
    await many_calls(server)


async def test_twenty_calls_at_once_lose_nothing_on_postgresql(postgres: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(f"{postgres}/postgres")
    await connection.execute("CREATE DATABASE crew")
    await connection.close()
    async with crew(tmp_path, database_url=f"{postgres}/crew") as running:
        await many_calls(running)


async def test_calls_are_limited_for_all_workers_together(tmp_path: Path) -> None:
    async with crew(tmp_path, max_calls=3) as server, AsyncExitStack() as stack:
        spare = await server.create()
        for number in range(3):
            await hold(server, stack, number)
        assert len(set((await server.owners()).values())) == 2

        async def full() -> bool:
            refused = await server.client.post("/api/calls", json=CALL)
            return refused.status_code == 503 and "all 3 places" in refused.text and "Retry-After" in refused.headers

        async with asyncio.timeout(5):
            while not await full():
                pass
        late = Caller(await stack.enter_async_context(connect(spare["joinUrl"], proxy=None)))
        await asyncio.wait_for(late.listen(), 10)
        assert late.closed == 1013


LONG = "This goes on for quite some time. " * 300


async def test_a_worker_that_is_killed_takes_only_its_own_calls_along(tmp_path: Path) -> None:
    """The witness hears its agent speak on: every sample of it, and never late by more than its buffer bears."""
    async with crew(tmp_path, reply=LONG) as server, AsyncExitStack() as stack:
        calls = [await server.create(firstSpeakerSettings={"agent": {}}) for _ in range(2)]
        waiting = await server.create(joinTimeout="300s")
        victim = (await server.owners())[waiting["callId"]]
        callers = [await stack.enter_async_context(joined(call)) for call in calls]
        owners = await server.owners()
        assert {owners[call["callId"]] for call in calls} == {"w1", "w2"}
        lost, kept = (0, 1) if owners[calls[0]["callId"]] == victim else (1, 0)
        await until(lambda: all(len(caller.audio) > 25 for caller in callers))

        os.kill(server.pids()[victim], signal.SIGKILL)

        await callers[lost].over()
        assert callers[lost].closed == 1006
        ended: dict[str, Any] = {}
        async with asyncio.timeout(5):
            while not ended.get("ended"):
                ended = await server.call(calls[lost]["callId"])
        assert ended["endReason"] == "system_error"
        async with server.other_client() as client:
            events = (await client.get(f"/api/calls/{ended['callId']}/events")).json()["results"]
            assert "server_stopped" in [event["type"] for event in events]
            assert (await client.get("/readyz")).status_code == 200
            assert await metric(client, "antiphon_live_calls") == 1
            assert await metric(client, "antiphon_calls_created_total") == 3, "what the dead one counted stays"

        await server.ready(3)
        witness = callers[kept].audio
        so_far = len(witness)
        await until(lambda: len(witness) > so_far + 25)
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(witness)]
        assert max(gaps) < 0.5
        assert not (await server.call(calls[kept]["callId"]))["ended"]

        assert (await server.call(waiting["callId"]))["joinUrl"] == waiting["joinUrl"], "it hurt nobody who waits"
        async with joined(waiting):
            assert (await server.owners())[waiting["callId"]] != victim
        assert set(server.pids()) == {"w1", "w2", "w3"} - {victim}


async def test_a_worker_that_is_told_to_stop_ends_its_calls_and_is_replaced(tmp_path: Path) -> None:
    async with crew(tmp_path) as server, AsyncExitStack() as stack:
        calls = [await hold(server, stack, number) for number in range(2)]
        owners = await server.owners()
        os.kill(server.pids()["w2"], signal.SIGTERM)
        for call, caller in calls:
            if owners[call["callId"]] == "w2":
                await caller.over()
                assert caller.closed == 1012
                assert (await server.call(call["callId"]))["endReason"] == "system_error"
        await server.ready(3)
        assert set(server.pids()) == {"w1", "w3"}


async def test_the_whole_server_stops_in_order_and_starts_again(tmp_path: Path) -> None:
    async with crew(tmp_path) as server, AsyncExitStack() as stack:
        calls = [await hold(server, stack, number) for number in range(4)]
        waiting = await server.create()
        workers = server.pids().values()
        server.process.send_signal(signal.SIGTERM)
        for _, caller in calls:
            await caller.over()
            assert caller.closed == 1012
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
        assert server.running(workers) == []
        assert not (server.data_dir / "workers").exists()
        assert "Traceback" not in server.log.read_text()
        assert server.troubles() == []
    async with crew(tmp_path, workers=3) as again:
        for call, _ in calls:
            assert (await again.call(call["callId"]))["endReason"] == "system_error"
        assert (await again.call(waiting["callId"]))["endReason"] == "system_error"


async def test_a_front_that_is_killed_leaves_no_worker_behind(tmp_path: Path) -> None:
    async with crew(tmp_path) as server, AsyncExitStack() as stack:
        call, caller = await hold(server, stack, 0)
        workers = server.pids().values()
        server.process.kill()
        await caller.over()
        assert caller.closed == 1012
        await until(lambda: not server.running(workers), 30)
        owners = await server.owners()
        assert call["callId"] in owners


async def test_a_worker_that_is_stuck_gets_nobody_and_does_not_outlive_a_second_signal(tmp_path: Path) -> None:
    async with crew(tmp_path) as server:
        workers = list(server.pids().values())
        os.kill(workers[0], signal.SIGSTOP)
        await until(lambda: [line["event"] for line in server.troubles()] == ["worker_silent"], 10)
        for _ in range(5):
            async with server.other_client() as client:
                assert (await client.post("/api/calls", json=CALL)).status_code == 201
        server.process.send_signal(signal.SIGINT)
        await until(lambda: server.running(workers) == workers[:1], 30)
        assert server.process.returncode is None, "it waits for the other one"
        server.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(server.process.wait(), 10)
        assert server.running(workers) == []
