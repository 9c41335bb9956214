"""What a request may cost the calls beside it: visits to the database's thread, and stretches of the event loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiosqlite
import httpx
import pytest
from pydantic_core import to_json

from antiphon.api import common
from antiphon.api.common import SENT_AT_ONCE_BYTES
from tests.api.test_calls import create

LONG = "Äntwörte in einem Satz. " * 1_000


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each visit to a thread of SQLite's driver."""
    found: list[str] = []
    plain: Any = aiosqlite.Connection._execute

    async def counting(connection: aiosqlite.Connection, *arguments: Any, **named: Any) -> Any:
        found.append("visit")
        return await plain(connection, *arguments, **named)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counting)
    return found


async def test_what_is_looked_at_takes_one_statement_each(client: httpx.AsyncClient, visits: list[str]) -> None:
    said = [{"role": "MESSAGE_ROLE_USER", "text": f"{number}"} for number in range(3)]
    call = await create(client, initialMessages=said)
    for path, most in (("", 1), ("/messages", 2)):
        visits.clear()
        assert (await client.get(f"/api/calls/{call['callId']}{path}")).status_code == 200
        assert len(visits) <= most, path
    visits.clear()
    assert (await client.get("/api/calls")).json()["total"] >= 1
    assert len(visits) == 1


async def test_a_large_page_goes_out_in_portions_and_is_whole(client: httpx.AsyncClient) -> None:
    calls = [await create(client, systemPrompt=f"{number} {LONG}") for number in range(5)]
    async with client.stream("GET", "/api/calls?pageSize=4") as answer:
        content = await answer.aread()
    assert len(content) > SENT_AT_ONCE_BYTES
    assert int(answer.headers["content-length"]) == len(content)
    assert answer.headers["content-type"] == "application/json"
    page = json.loads(content)
    assert page["results"] == calls[:0:-1]
    assert (page["total"], page["previous"]) == (5, None)
    last = (await client.get(page["next"])).json()
    assert last["results"] == calls[:1]
    assert last["next"] is None


async def test_pages_are_counted_alike_small_and_large_and_empty(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/api/calls")).json() == {"next": None, "previous": None, "total": 0, "results": []}
    for number in range(3):
        await create(client, metadata={"number": str(number)})
    small = (await client.get("/api/calls?metadata.number=1")).json()
    monkeypatch.setattr(common, "SENT_AT_ONCE_BYTES", 10)
    assert (await client.get("/api/calls?metadata.number=1")).json() == small
    assert small["total"] == len(small["results"]) == 1


async def test_others_have_their_turn_while_a_page_is_made(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        await create(client, systemPrompt=LONG)
    turns: list[int] = []
    shaped = 0

    def counting(value: Any) -> bytes:
        nonlocal shaped
        shaped += "systemPrompt" in value
        return to_json(value)

    def other() -> None:
        turns.append(shaped)
        waiting.append(asyncio.get_running_loop().call_soon(other))

    monkeypatch.setattr("antiphon.api.common.to_json", counting)
    monkeypatch.setattr("antiphon.pause.LONGEST_S", 0.0)
    waiting = [asyncio.get_running_loop().call_soon(other)]
    page = (await client.get("/api/calls")).json()
    waiting[-1].cancel()
    assert len(page["results"]) == 6
    assert {1, 2, 3, 4, 5, 6} <= set(turns), "after each of them"
