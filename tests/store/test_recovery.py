"""Whose a call is, when several processes serve one server's calls, and what is left when one of them is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from antiphon.call.ends import EndReason
from antiphon.store.database import Database
from antiphon.store.records import CallRecord, JoinClaim
from antiphon.store.repositories import Repositories
from tests.store.samples import a_call, at

ROOT = Path(__file__).parents[2]


@dataclass
class Workers:
    """The stores of two workers of one server, and of the server as one process."""

    first: Repositories
    second: Repositories
    alone: Repositories


@pytest.fixture
async def workers(url: str) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        stores = []
        for worker in (1, 2, None):
            database = await Database.open(url, server_id="a_host/01", worker=worker)
            stack.push_async_callback(database.close)
            stores.append(Repositories.of(database))
        yield Workers(*stores)


async def made(store: Repositories, claimed_by: Repositories | None = None) -> CallRecord:
    call = a_call()
    await store.calls.create(call)
    if claimed_by is not None:
        assert await claimed_by.calls.claim_join(call.call_id, call.join_token_hash, at(1)) is JoinClaim.JOINED
    return call


async def test_a_call_belongs_to_whoever_it_was_joined_at(workers: Workers) -> None:
    waiting, taken = await made(workers.first), await made(workers.first, workers.second)
    for store in (workers.first, workers.second, workers.alone):
        assert await store.calls.worker_of(waiting.call_id) == 1
        assert await store.calls.worker_of(taken.call_id) == 2
        assert await store.calls.worker_of("unknown") is None
    assert await workers.first.calls.worker_of((await made(workers.alone)).call_id) is None


async def test_a_call_that_somebody_joined_does_not_end_unjoined(workers: Workers) -> None:
    waiting, taken = await made(workers.first), await made(workers.first, workers.second)
    assert not await workers.first.calls.end_unclaimed(taken.call_id, at(31))
    assert await workers.first.calls.end_unclaimed(waiting.call_id, at(31))
    assert not await workers.first.calls.end_unclaimed(waiting.call_id, at(32))
    found = await workers.second.calls.get(waiting.call_id)
    assert found is not None
    assert (found.ended, found.end_reason) == (at(31), EndReason.UNJOINED)
    late = await workers.second.calls.claim_join(waiting.call_id, waiting.join_token_hash, at(29))
    assert late is JoinClaim.EXPIRED


async def test_the_calls_of_a_worker_that_is_gone_are_ended_or_taken_over(workers: Workers) -> None:
    live, joining, waiting = [await made(workers.second) for _ in range(3)]
    await workers.second.calls.claim_join(live.call_id, live.join_token_hash, at(1))
    await workers.second.calls.mark_joined(live.call_id, at(1))
    await workers.second.calls.claim_join(joining.call_id, joining.join_token_hash, at(1))
    moved, mine = await made(workers.second, workers.first), await made(workers.first)

    ended = await workers.first.calls.end_calls_of(2, at(5))

    assert {call.call_id: call.end_reason for call in ended} == {
        live.call_id: EndReason.SYSTEM_ERROR,
        joining.call_id: EndReason.SYSTEM_ERROR,
    }
    assert [call.call_id for call in await workers.first.calls.adopt(2, at(5))] == [waiting.call_id]
    assert await workers.first.calls.adopt(2, at(5)) == ()
    for call in (waiting, moved, mine):
        found = await workers.first.calls.get(call.call_id)
        assert found is not None
        assert found.ended is None
        assert await workers.first.calls.worker_of(call.call_id) == 1


async def test_what_nobody_joined_in_time_is_ended_and_not_taken_over(workers: Workers) -> None:
    late = await made(workers.second)
    (ended,) = await workers.first.calls.end_calls_of(2, at(40))
    assert (ended.call_id, ended.end_reason, ended.ended) == (late.call_id, EndReason.UNJOINED, late.join_deadline)
    assert await workers.first.calls.adopt(2, at(40)) == ()


@pytest.mark.parametrize("starting", ["first", "alone"])
async def test_a_start_ends_what_any_worker_of_a_former_run_left(workers: Workers, url: str, starting: str) -> None:
    left = {(await made(store)).call_id for store in (workers.first, workers.second, workers.alone)}
    others = set()
    if url.startswith("postgresql"):  # an SQLite file has one server
        for server_id in ("a_host/02", "aXhost/01"):
            database = await Database.open(url, server_id=server_id, worker=1)
            others.add((await made(Repositories.of(database))).call_id)
            await database.close()
    store: Repositories = getattr(workers, starting)
    assert {call.call_id for call in await store.calls.end_abandoned(at(9))} == left
    for call_id in others:
        found = await store.calls.get(call_id)
        assert found is not None
        assert found.ended is None


async def test_of_several_processes_one_gets_the_call(url: str, workers: Workers) -> None:
    calls = [await made(workers.alone) for _ in range(30)]
    ids = [call.call_id for call in calls]
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.store.claimer", url, str(worker), *ids),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        for worker in (1, 2, 3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"open\n"
    got = []
    for output, errors in await asyncio.gather(*(process.communicate(b"go\n") for process in processes)):
        assert errors == b""
        got += output.decode().split()
    assert sorted(got) == sorted(ids)
