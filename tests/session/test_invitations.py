"""Join URLs that any process of a server can tell: two switchboards over one database and one data folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from antiphon.call.settings import TurnSettings
from antiphon.engines import registry
from antiphon.errors import DataFolderError, JoinRefused
from antiphon.server.config import Config
from antiphon.session.invitations import Invitations, read_secret
from antiphon.session.load import Admission
from antiphon.session.switchboard import Switchboard
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallRecord, ToolRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.wire.call_request import parse_call_request
from tests.session.test_switchboard import SCRIPTED
from tests.support.virtual_client import VirtualClient


@dataclass
class Worker:
    switchboard: Switchboard
    store: Repositories

    async def made(self, *, greeting_prompt: bool = True, **fields: Any) -> CallRecord:
        body = {"medium": {"serverWebSocket": {"inputSampleRate": 16_000}}, "firstSpeakerSettings": {"user": {}}}
        return await self.switchboard.create(parse_call_request(body | fields), greeting_prompt=greeting_prompt)

    def token(self, call: CallRecord) -> str:
        url = self.switchboard.join_url(call, "ws://here")
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
            switchboard = Switchboard(
                engines, store, ledger, tmp_path / "recordings", TurnSettings(), Admission(10), worker=number
            )
            await switchboard.start(first=number == 1)
            stack.push_async_callback(switchboard.stop)
            made.append(Worker(switchboard, store))
        yield made[0], made[1]


async def test_a_call_is_joined_where_it_was_not_created(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    call = await here.made(greeting_prompt=False)
    told: list[str] = []
    there.switchboard.invitations.on_used = told.append
    assert here.token(call) == there.token(call)
    ticket = await there.switchboard.join(call.call_id, there.token(call), None)
    assert not ticket.call.greeting_prompt
    assert told == [call.call_id], "who waits for it is told"
    assert here.switchboard.join_url(ticket.call, "ws://here") is None
    with pytest.raises(JoinRefused, match="used already"):
        await here.switchboard.join(call.call_id, here.token(call), None)
    here.switchboard.invitations.expire(call.call_id)
    client = VirtualClient()
    client.leave()
    await there.switchboard.serve(ticket, client)
    assert await here.reason(call) == "hangup"


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

    ticket = await there.switchboard.join(call.call_id, there.token(call), None)

    tools = there.switchboard._toolbox.take(ticket.call, {}).tools
    assert [tool.spec.name for tool in tools] == ["drop", "lookUp", "hangUp"]
    assert tools[1].spec.description == "As it was."
    assert tools == here.switchboard._toolbox.take(ticket.call, {}).tools


async def test_calls_of_a_worker_that_is_gone(workers: tuple[Worker, Worker]) -> None:
    here, there = workers
    waiting, joining, short = await there.made(), await there.made(), await there.made(joinTimeout="0.3s")
    await there.switchboard.join(joining.call_id, there.token(joining), None)
    there.switchboard.invitations.close()  # as good as dead
    assert len(here.switchboard.invitations) == 0

    await here.switchboard.bury(2)

    assert await here.reason(joining) == "system_error"
    assert waiting.call_id in here.switchboard.invitations
    ticket = await here.switchboard.join(waiting.call_id, here.token(waiting), None)
    assert ticket.call.ended is None
    async with asyncio.timeout(5):
        while (reason := await here.reason(short)) is None:
            pass
    assert reason == "unjoined"


async def test_a_join_url_is_shown_while_it_serves(workers: tuple[Worker, Worker], tmp_path: Path) -> None:
    here, _ = workers
    call = await here.made(joinTimeout="30s")
    now = datetime.now(UTC)
    url = here.switchboard.join_url
    assert url(call, "wss://there") == f"wss://there/api/calls/{call.call_id}/join?token={here.token(call)}"
    assert url(replace(call, claimed=now), "") is None
    assert url(replace(call, ended=now), "") is None
    assert url(replace(call, join_deadline=now), "") is None
    another = Invitations(here.store.calls, read_secret(tmp_path / "another"), lambda work: work.close())
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
