"""Joining and ending calls on a real store: every call that was joined comes to an end on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from antiphon.call.messages import Severity
from antiphon.call.settings import TurnSettings
from antiphon.config.config import Config
from antiphon.engines import registry
from antiphon.engines.registry import Engines
from antiphon.errors import AntiphonError, StoreError
from antiphon.lifecycle.admission import Admission
from antiphon.lifecycle.joins import JoinTicket
from antiphon.lifecycle.manager import CallManager
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallRecord, JoinClaim
from antiphon.store.repositories import Repositories
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.incoming import UserTextMessage

SCRIPTED = {
    "voice_activity": {"engine": "scripted"},
    "end_of_turn": {"engine": "scripted"},
    "transcriber": {"engine": "scripted"},
    "models": {"ultravox-v0.7": {"engine": "scripted"}},
    "voices": {"Mark": {"engine": "scripted"}},
}


@dataclass
class Exchange:
    manager: CallManager
    store: Repositories
    engines: Engines

    async def made(self, join_timeout: str = "30s") -> tuple[CallRecord, str]:
        """A call, and the token of its join URL."""
        request = parse_call_request(
            {
                "medium": {"serverWebSocket": {"inputSampleRate": 16_000}},
                "joinTimeout": join_timeout,
                "firstSpeakerSettings": {"user": {}},
            }
        )
        call = await self.manager.create(request)
        url = self.manager.join_url(call, "ws://here")
        assert url is not None
        return call, url.partition("token=")[2]

    async def joined(self) -> JoinTicket:
        call, token = await self.made()
        return await self.manager.join(call.call_id, token, None)

    async def reason(self, call_id: str) -> str | None:
        call = await self.store.calls.get(call_id)
        assert call is not None
        return call.end_reason


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    config = Config.model_validate({**SCRIPTED, "data_dir": tmp_path, "models_dir": tmp_path})
    engines = registry.build(config, config.models_dir)
    async with AsyncExitStack() as stack:
        database = await Database.open(config.store_url)
        stack.push_async_callback(database.close)
        ledger = await stack.enter_async_context(Ledger(database))
        store = Repositories.of(database)
        manager = CallManager(engines, store, ledger, tmp_path / "recordings", TurnSettings(), Admission(10))
        await manager.start()
        stack.push_async_callback(manager.stop)
        yield Exchange(manager, store, engines)


async def test_a_call_whose_engines_are_gone_when_it_is_joined_is_ended(exchange: Exchange) -> None:
    ticket = await exchange.joined()
    gone = JoinTicket(replace(ticket.call, model="gone"), ticket.request, ticket.medium)
    with pytest.raises(AntiphonError):
        await exchange.manager.serve(gone, ReferenceMedium())
    assert await exchange.reason(ticket.call.call_id) == "system_error"
    assert exchange.manager.live_count == 0
    (event,) = await exchange.store.events.of_call(ticket.call.call_id)
    assert (event.type, event.severity) == ("call_failed", Severity.ERROR)
    assert "'gone'" in event.text
    (stage,) = await exchange.store.stages.of_call(ticket.call.call_id)
    assert stage.error_count == 1


async def test_a_call_whose_client_leaves_before_its_socket_is_open_is_ended_and_says_so(exchange: Exchange) -> None:
    ticket = await exchange.joined()
    call_id = ticket.call.call_id
    assert exchange.manager.is_live(call_id)
    await exchange.manager.release(ticket)
    assert await exchange.reason(call_id) == "connection_error"
    (event,) = await exchange.store.events.of_call(call_id)
    assert (event.type, event.severity) == ("join_failed", Severity.WARNING)
    assert (exchange.manager.taken, exchange.manager.is_live(call_id)) == (0, False)


async def test_a_join_that_fails_after_it_was_claimed_ends_the_call_and_says_why(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> bool:
        raise StoreError("the disk is full")

    call, token = await exchange.made()
    monkeypatch.setattr(exchange.store.calls, "mark_joined", broken)
    with pytest.raises(StoreError):
        await exchange.manager.join(call.call_id, token, None)
    assert await exchange.reason(call.call_id) == "system_error"
    (event,) = await exchange.store.events.of_call(call.call_id)
    assert (event.type, event.text) == ("join_failed", "The server could not take the join: the disk is full.")
    assert (exchange.manager.taken, exchange.manager.is_live(call.call_id)) == (0, False)


async def test_created_joined_and_ended_are_one_line_each_without_a_word_of_the_call(exchange: Exchange) -> None:
    with capture_logs() as logs:
        call, token = await exchange.made()
        ticket = await exchange.manager.join(call.call_id, token, "web_1")
        exchange.manager.send(call.call_id, UserTextMessage("a secret"))
        client = ReferenceMedium()
        client.leave()
        await exchange.manager.serve(ticket, client)
        never, _ = await exchange.made()
        await exchange.manager.join_tokens._end(never.call_id)
    lines = [(line["event"], line.get("reason")) for line in logs if line["call_id"] == call.call_id]
    assert lines == [("call_created", None), ("call_joined", None), ("call_ended", "hangup")]
    lines = [(line["event"], line.get("reason")) for line in logs if line["call_id"] == never.call_id]
    assert lines == [("call_created", None), ("call_ended", "unjoined")]
    assert "secret" not in str(logs)
    assert all(line["log_level"] == "info" for line in logs)
    assert [line["duration_s"] >= 0 for line in logs if line["event"] == "call_ended"] == [True, True]


async def test_a_join_timeout_that_fires_while_the_join_is_being_claimed_does_not_end_the_call(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, token = await exchange.made()
    claim_join = exchange.store.calls.claim_join

    async def slow_claim(call_id: str, token_hash: str, now: datetime) -> JoinClaim:
        claim = await claim_join(call_id, token_hash, now)
        exchange.manager.join_tokens.expire(call_id)  # the timer, in the middle of it
        return claim

    monkeypatch.setattr(exchange.store.calls, "claim_join", slow_claim)
    ticket = await exchange.manager.join(call.call_id, token, None)
    client = ReferenceMedium()
    serving = asyncio.create_task(exchange.manager.serve(ticket, client))
    client.leave()
    await serving
    assert await exchange.reason(call.call_id) == "hangup"


async def test_a_message_sent_by_rest_while_the_join_is_written_down_reaches_the_call(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, token = await exchange.made()
    call_id = call.call_id
    mark_joined = exchange.store.calls.mark_joined

    async def slow_mark(call_id: str, now: datetime, version: str | None) -> bool:
        exchange.manager.send(call_id, UserTextMessage("first of all"))
        return await mark_joined(call_id, now, version)

    monkeypatch.setattr(exchange.store.calls, "mark_joined", slow_mark)
    ticket = await exchange.manager.join(call_id, token, None)
    client = ReferenceMedium()
    client.leave()
    await exchange.manager.serve(ticket, client)
    kept = await exchange.store.messages.of_call(call_id)
    assert [message.text for message in kept] == ["first of all"]


async def test_a_call_that_joins_while_the_server_stops_is_ended_by_it(exchange: Exchange) -> None:
    ticket = await exchange.joined()
    await exchange.manager.stop()
    client = ReferenceMedium()
    await asyncio.wait_for(exchange.manager.serve(ticket, client), 5)
    assert client.closed == (1012, "the server is stopping")
    assert await exchange.reason(ticket.call.call_id) == "system_error"


async def test_work_in_the_background_that_fails_is_told(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> bool:
        raise ZeroDivisionError

    call, _ = await exchange.made()
    monkeypatch.setattr(exchange.store.calls, "end_unclaimed", broken)
    with capture_logs() as logs:
        exchange.manager.join_tokens.expire(call.call_id)
        await asyncio.gather(
            *(task for task in exchange.manager._tasks if "JoinTokens._end" in repr(task)), return_exceptions=True
        )
        await asyncio.sleep(0)
    assert [line["event"] for line in logs] == ["background_work_failed"]
