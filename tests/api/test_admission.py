"""Who is let in, by a server with the limits that it comes with; elsewhere tests switch admission off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import SCRIPTED, RealServer, running_server
from tests.support.workers import CALL as BODY
from tests.support.workers import crew

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

CALL = {**BODY, "joinTimeout": "3600s"}
MANY = 2000
MOST_WAITING = MANY + 20
AT_ONCE = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    folder = tmp_path_factory.mktemp("admission")
    async with running_server(folder, f"limits.max_waiting = {MOST_WAITING}\n{SCRIPTED}") as running:
        yield running


def client_of(server: RealServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": server.key}, trust_env=False, timeout=30)


async def created(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """So many calls, some at a time; each has to be let in."""
    places, calls = asyncio.Semaphore(AT_ONCE), list[dict[str, Any]]()

    async def create() -> None:
        async with places:
            response = await client.post("/api/calls", json=CALL)
            assert response.status_code == 201, f"{response.text} after {len(calls)} calls"
            calls.append(response.json())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(create())
    return calls


async def greeted(join_url: str) -> None:
    """Join, and wait until the server says that the call has begun."""
    async with connect(join_url, proxy=None) as socket:
        async for message in socket:
            if isinstance(message, str) and json.loads(message)["type"] == "call_started":
                return


async def close_code(join_url: str) -> int | None:
    async with connect(join_url, proxy=None) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        return socket.close_code


async def test_directly_after_readyz_twenty_calls_are_let_in_though_models_were_just_loaded(
    server: RealServer,
) -> None:
    async with client_of(server) as client:
        for call in await created(client, 20):
            await client.delete(f"/api/calls/{call['callId']}")
    assert "event_loop_late" not in server.log.read_text()


async def test_a_waiting_call_is_deleted_and_its_join_url_refused(server: RealServer) -> None:
    async with client_of(server) as client:
        (call,) = await created(client, 1)
        path = f"/api/calls/{call['callId']}"
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
        assert (await client.delete(path)).status_code == 404
        assert await close_code(call["joinUrl"]) == 4404
        assert (await client.get("/api/calls")).json()["total"] == 0, "there is no record of an end either"


async def test_a_live_call_cannot_be_deleted(server: RealServer) -> None:
    async with client_of(server) as client:
        (call,) = await created(client, 1)
        async with connect(call["joinUrl"], proxy=None):
            response = await client.delete(f"/api/calls/{call['callId']}")
            assert response.status_code == 422
            assert "the call is live" in response.json()["detail"]


async def test_two_thousand_calls_that_nobody_joins_lock_nobody_out(server: RealServer) -> None:
    async with client_of(server) as client:
        waiting = await created(client, MANY)
        (one,) = await created(client, 1)
        await greeted(one["joinUrl"])
        await greeted(waiting[0]["joinUrl"])

        rest = await created(client, MOST_WAITING - MANY + 1)
        refused = await client.post("/api/calls", json=CALL)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert f"{MOST_WAITING} calls of this API key wait" in refused.json()["detail"]
        assert "limits.max_waiting" in refused.json()["detail"]
        assert (await client.delete(f"/api/calls/{rest[0]['callId']}")).status_code == 204
        await created(client, 1)


async def test_waiting_calls_of_a_key_are_counted_over_all_workers(tmp_path: Path) -> None:
    async with crew(tmp_path, max_waiting=6) as server, server.other_client() as other:
        calls = [(await client.post("/api/calls", json=CALL)).json() for client in (server.client, other) * 3]
        assert len(set((await server.owners()).values())) == 2
        async with asyncio.timeout(10):
            for client in (server.client, other):
                while (response := await client.post("/api/calls", json=CALL)).status_code != 429:
                    # The last report of the other worker was older than that.
                    assert response.status_code == 201
                    await client.delete(f"/api/calls/{response.json()['callId']}")
        for call in calls:  # half of them wait in the other worker
            assert (await server.client.delete(f"/api/calls/{call['callId']}")).status_code == 204
        async with asyncio.timeout(10):
            for client in (other, server.client):
                while (await client.post("/api/calls", json=CALL)).status_code != 201:
                    pass
