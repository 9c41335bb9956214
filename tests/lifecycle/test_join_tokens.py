"""Join URLs that any process of a server can tell: two switchboards over one database and one data folder."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from antiphon.call.settings import TurnSettings
from antiphon.config.config import Config
from antiphon.engines import registry
from antiphon.errors import DataFolderError, InvalidRequest, JoinRefused, NotFound, TooManyWaiting, WrongState
from antiphon.lifecycle.admission import Admission
from antiphon.lifecycle.join_tokens import JoinTokens, read_secret
from antiphon.lifecycle.joins import JoinTicket
from antiphon.lifecycle.manager import CallManager
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallRecord, ToolRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.wire.call_request import parse_call_request
from tests.lifecycle.test_manager import SCRIPTED


@dataclass
class Worker:
    manager: CallManager
    store: Repositories
    admission: Admission

    async def made(self, *, greeting_prompt: bool = True, key: str = "", **fields: Any) -> CallRecord:
        body = {"medium": {"serverWebSocket": {"inputSampleRate": 16_000}}, "firstSpeakerSettings": {"user": {}}}
        request = parse_call_request(body | fields)
        return await self.manager.create(request, greeting_prompt=greeting_prompt, key=key)

    def token(self, call: CallRecord) -> str:
        url = self.manager.join_url(call, "ws://here")
        assert url is not None
        return url.partition("token=")[2]

    async def reason(self, call: CallRecord) -> str | None:
        found = await self.store.calls.get(call.call_id)
        assert found is not None
        return found.end_reason


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    config = Config.model_validate({**SCRIPTED, "data_dir": tmp_path, "models_dir": tmp_path})
    async with AsyncExitStack() as stack:
        made = []
        for number in (1, 2):
            engines = registry.build(config, config.models_dir)
            database = await Database.open(config.store_url, worker=number)
            stack.push_async_callback(database.close)
            ledger = await stack.enter_async_context(Ledger(database))
            store = Repositories.of(database)
            admission = Admission(10)
            manager = CallManager(
                engines, store, ledger, tmp_path / "recordings", TurnSettings(), admission, worker=number
            )
            await manager.start(first=number == 1)
            stack.push_async_callback(manager.stop)
            made.append(Worker(manager, store, admission))
        yield made[0], made[1]


async def test_a_call_is_joined_where_it_was_not_created(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    call = await here.made(greeting_prompt=False)
    told: list[str] = []
    there.manager.join_tokens.on_used = told.append
    assert here.token(call) == there.token(call)
    ticket = await there.manager.join(call.call_id, there.token(call), None)
    assert not ticket.call.greeting_prompt
    assert told == [call.call_id], "who waits for it is told"
    assert here.manager.join_url(ticket.call, "ws://here") is None
    with pytest.raises(JoinRefused, match="used already"):
        await here.manager.join(call.call_id, here.token(call), None)
    here.manager.join_tokens.expire(call.call_id)
    client = ReferenceMedium()
    client.leave()
    await there.manager.serve(ticket, client)
    assert await here.reason(call) == "hangup"


async def test_a_waiting_call_is_deleted_where_it_was_not_created(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    call = await here.made(selectedTools=[{"toolName": "hangUp"}])
    token, told = here.token(call), list[str]()
    there.manager.join_tokens.on_deleted = told.append

    await there.manager.delete(call.call_id)

    assert told == [call.call_id], "who waits for it is told"
    here.manager.join_tokens.forget(call.call_id)
    assert len(here.manager.join_tokens) == 0
    for worker in workers:
        assert await worker.store.calls.get(call.call_id) is None
        with pytest.raises(JoinRefused, match="no such call") as refused:
            await worker.manager.join(call.call_id, token, None)
        assert refused.value.close_code == 4404
        with pytest.raises(NotFound):
            await worker.manager.delete(call.call_id)


@pytest.mark.parametrize("seed", range(8))
async def test_of_a_join_and_a_deletion_at_once_one_is_first(workers: tuple[Worker, Worker], seed: int) -> None:
    here, there = workers
    call = await here.made()
    token = here.token(call)
    works = [here.manager.join(call.call_id, token, None), there.manager.delete(call.call_id)]
    random.Random(seed).shuffle(works)
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 1, outcomes
    if isinstance(refused[0], JoinRefused):
        assert refused[0].close_code == 4404
        assert await here.store.calls.get(call.call_id) is None
    else:
        assert isinstance(refused[0], WrongState)
        (ticket,) = (outcome for outcome in outcomes if isinstance(outcome, JoinTicket))
        client = ReferenceMedium()
        client.leave()
        await here.manager.serve(ticket, client)
        assert await here.reason(call) == "hangup"


async def test_waiting_calls_are_counted_by_key_until_they_wait_no_more(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    made = [await here.made(key=key) for key in ("mine", "mine", "mine", "mine", "yours")]
    join_tokens = here.manager.join_tokens
    assert join_tokens.by_key == {"mine": 4, "yours": 1}
    await here.manager.join(made[0].call_id, here.token(made[0]), None)
    await here.manager.delete(made[1].call_id)
    join_tokens.expire(made[2].call_id)
    await there.manager.join(made[3].call_id, there.token(made[3]), None)
    join_tokens.used_elsewhere(made[3].call_id)
    assert join_tokens.by_key == {"yours": 1}
    with pytest.raises(InvalidRequest):
        await here.made(key="mine", model="unknown")
    assert join_tokens.by_key == {"yours": 1}, "what was not created does not wait"


async def test_a_key_may_have_so_many_waiting_calls_however_many_it_asks_for_at_once(
    workers: tuple[Worker, Worker],
) -> None:
    here, _ = workers
    here.admission._most_waiting = 5
    outcomes = await asyncio.gather(*(here.made(key="mine") for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(outcome, CallRecord) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, TooManyWaiting) for outcome in outcomes) == 7
    await here.made(key="yours")


async def test_a_durable_tool_stays_as_it_was_when_the_call_was_created(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    definition = {"modelToolName": "lookUp", "description": "As it was.", "client": {}}
    kept = ToolRecord(new_id(), "lookUp", datetime.now(UTC), definition)
    dropped = ToolRecord(new_id(), "drop", datetime.now(UTC), {**definition, "modelToolName": "drop"})
    for tool in (kept, dropped):
        await here.store.tools.create(tool)
    call = await here.made(selectedTools=[{"toolId": dropped.tool_id}, {"toolName": "lookUp"}, {"toolName": "hangUp"}])
    await here.store.tools.delete(dropped.tool_id)
    await here.store.tools.update(replace(kept, definition={**definition, "description": "Anew."}))

    ticket = await there.manager.join(call.call_id, there.token(call), None)

    tools = there.manager._tool_resolver.take(ticket.call, {}).tools
    assert [tool.spec.name for tool in tools] == ["drop", "lookUp", "hangUp"]
    assert tools[1].spec.description == "As it was."
    assert tools == here.manager._tool_resolver.take(ticket.call, {}).tools


async def test_calls_of_a_worker_that_is_gone(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    waiting, joining, short = await there.made(), await there.made(), await there.made(joinTimeout="0.3s")
    await there.manager.join(joining.call_id, there.token(joining), None)
    there.manager.join_tokens.close()  # as good as dead
    assert len(here.manager.join_tokens) == 0

    await here.manager.bury(2)

    assert await here.reason(joining) == "system_error"
    assert waiting.call_id in here.manager.join_tokens
    ticket = await here.manager.join(waiting.call_id, here.token(waiting), None)
    assert ticket.call.ended is None
    async with asyncio.timeout(5):
        while (reason := await here.reason(short)) is None:
            pass
    assert reason == "unjoined"


async def test_a_join_url_is_shown_while_it_serves(workers: tuple[Worker, Worker], tmp_path: Path) -> None:
    here, _ = workers
    call = await here.made(joinTimeout="30s")
    now = datetime.now(UTC)
    url = here.manager.join_url
    assert url(call, "wss://there") == f"wss://there/api/calls/{call.call_id}/join?token={here.token(call)}"
    assert url(replace(call, claimed=now), "") is None
    assert url(replace(call, ended=now), "") is None
    assert url(replace(call, join_deadline=now), "") is None
    another = JoinTokens(here.store.calls, read_secret(tmp_path / "another"), lambda work: work.close())
    assert another.join_url(call, "") is None, "it is another server's"
    assert not another.is_token(call.call_id, here.token(call))


def test_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: read_secret(tmp_path / "data"), range(32)))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 32
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["join-secret"]
    assert (tmp_path / "data" / "join-secret").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match="--data-dir"):
        read_secret(tmp_path / "file")
