from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

import antiphon.store.database
from antiphon.errors import StoreError
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger, LedgerTrouble, Trouble
from antiphon.store.ledger_batch import ENTRY_BYTES
from antiphon.store.records import CallChanges, CallRecord, StageChanges, StageRecord, VoiceTaken
from antiphon.store.repositories import Repositories
from tests.store.samples import a_call, a_message, a_stage, an_event


async def a_live_call(store: Repositories) -> tuple[CallRecord, StageRecord]:
    call = a_call()
    stage = a_stage(call)
    await store.calls.create(call, [stage])
    return call, stage


class Troubles:
    """Listens to a ledger; ``wait`` returns when something has gone wrong."""

    def __init__(self) -> None:
        self.told: list[LedgerTrouble] = []
        self._event = asyncio.Event()

    def __call__(self, trouble: LedgerTrouble) -> None:
        self.told.append(trouble)
        self._event.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._event.wait(), 20)
        self._event.clear()


async def test_what_was_flushed_is_stored_in_order(database: Database, store: Repositories) -> None:
    call, stage = await a_live_call(store)
    second = a_stage(call, index=1)
    messages = [a_message(stage, number) for number in range(5)]
    event = an_event(second)
    async with Ledger(database) as ledger:
        for message in messages:
            ledger.append_message(message)
        ledger.append_message(replace(messages[4], text="heard"))
        ledger.append_event(event)  # refers to a stage put after it
        ledger.append_stage(second)
        ledger.append_message(a_message(second, 5))
        ledger.update_call(call.call_id, CallChanges(current_stage_id=second.stage_id, voice=VoiceTaken(None, None)))
        ledger.update_call(call.call_id, CallChanges(error_count=2))
        ledger.update_stage(call.call_id, second.stage_id, StageChanges(latest_token_count=7))
        assert ledger.waiting == 12
        await ledger.flush(call.call_id)
        assert ledger.waiting == 0
        assert await store.messages.of_call(call.call_id) == (
            *messages[:4],
            replace(messages[4], text="heard"),
            a_message(second, 5),
        )
        assert await store.events.of_call(call.call_id) == (event,)
        changed = replace(call, current_stage_id=second.stage_id, error_count=2, voice=None, voice_id=None)
        shown = replace(changed, latest=second.settings)
        assert await store.calls.get(call.call_id) == shown
        assert (await store.calls.page()).results == (shown,)
        assert await store.stages.of_call(call.call_id) == (stage, replace(second, latest_token_count=7))
        assert ledger.counts.transactions == 1


async def test_closing_writes_all_that_is_left(database: Database, store: Repositories) -> None:
    calls = [await a_live_call(store) for _ in range(3)]
    troubles = Troubles()
    ledger = Ledger(database, on_trouble=troubles)
    await ledger.start()
    for number in range(400):
        for _, stage in calls:
            ledger.append_message(a_message(stage, number))
    await ledger.close()
    for call, _ in calls:
        assert len(await store.messages.of_call(call.call_id)) == 400
    assert ledger.counts.committed == 1200
    assert ledger.counts.transactions <= 4
    ledger.append_message(a_message(calls[0][1], 400))
    assert [trouble.trouble for trouble in troubles.told] == [Trouble.DROPPED]


async def test_what_is_put_while_a_transaction_runs_goes_into_the_next(database: Database, store: Repositories) -> None:
    calls = [await a_live_call(store) for _ in range(20)]

    async def speak(ledger: Ledger, call: CallRecord, stage: StageRecord) -> None:
        for number in range(10):
            ledger.append_message(a_message(stage, number))
            await ledger.flush(call.call_id)

    async with Ledger(database) as ledger:
        async with asyncio.TaskGroup() as tasks:
            for call, stage in calls:
                tasks.create_task(speak(ledger, call, stage))
        assert ledger.counts.committed == 200
        assert ledger.counts.transactions <= 30


async def test_a_flush_of_a_call_that_put_nothing_returns_at_once(database: Database) -> None:
    ledger = Ledger(database)  # not even started
    await ledger.flush("nobody")
    await ledger.flush()
    await ledger.close()


async def test_a_flush_that_is_given_up_disturbs_nobody(database: Database, store: Repositories) -> None:
    call, stage = await a_live_call(store)
    async with Ledger(database) as ledger:
        ledger.append_message(a_message(stage, 0))
        flush = asyncio.create_task(ledger.flush(call.call_id))
        other = asyncio.create_task(ledger.flush())
        await asyncio.wait([flush], timeout=0)
        flush.cancel()
        await other
    assert len(await store.messages.of_call(call.call_id)) == 1


async def test_a_refused_entry_harms_no_other(database: Database, store: Repositories) -> None:
    call, stage = await a_live_call(store)
    deleted, its_stage = await a_live_call(store)
    await store.calls.delete(deleted.call_id)
    troubles = Troubles()
    async with Ledger(database, on_trouble=troubles) as ledger:
        ledger.append_message(a_message(stage, 0))
        ledger.append_message(a_message(its_stage, 0, text="a secret"))
        ledger.append_event(an_event(stage, extras={"cause": object()}))
        ledger.append_message(a_message(stage, 1))
        await asyncio.gather(ledger.flush(call.call_id), ledger.flush(deleted.call_id))
        ledger.update_call(deleted.call_id, CallChanges(summary="nobody's"))
    assert [message.ordinal for message in await store.messages.of_call(call.call_id)] == [0, 1]
    assert [(told.trouble, told.call_ids) for told in troubles.told] == [
        (Trouble.REFUSED, (deleted.call_id,)),
        (Trouble.REFUSED, (call.call_id,)),
    ]
    assert "secret" not in str(troubles.told)
    assert "\n" not in "".join(told.error for told in troubles.told)
    assert ledger.counts.refused == 2


class Ailing(Database):
    """A database whose next writes fail: before they begin, or after they were committed."""

    failures: list[str]

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        failure = self.failures.pop(0) if self.failures else None
        if failure == "before":
            raise StoreError("the database failed: disk full", retryable=True)
        async with super().write() as connection:
            yield connection
        if failure == "after":
            raise StoreError("the database failed: connection lost", retryable=True)


async def test_a_passing_failure_is_tried_again_without_loss_or_doubles(url: str) -> None:
    database = await Ailing.open(url)
    database.failures = []
    store = Repositories.of(database)
    call, stage = await a_live_call(store)
    troubles = Troubles()
    database.failures = ["before", "after", "before"]
    messages, events = [a_message(stage, 0), a_message(stage, 1)], [an_event(stage), an_event(stage)]
    async with Ledger(database, on_trouble=troubles) as ledger:
        ledger.append_message(messages[0])
        ledger.append_event(events[0])
        await troubles.wait()
        ledger.append_message(messages[1])
        ledger.append_event(events[1])
        await ledger.flush(call.call_id)
    assert await store.messages.of_call(call.call_id) == tuple(messages)
    assert await store.events.of_call(call.call_id) == tuple(events)
    assert [(told.trouble, told.attempt) for told in troubles.told] == [(Trouble.RETRYING, n) for n in (1, 2, 3)]
    assert ledger.counts.retries == 3
    await database.close()


async def test_a_listener_that_fails_stops_nothing(url: str) -> None:
    def fail(_: LedgerTrouble) -> None:
        raise RuntimeError

    database = await Ailing.open(url)
    database.failures = []
    store = Repositories.of(database)
    call, stage = await a_live_call(store)
    database.failures = ["before"]
    async with Ledger(database, on_trouble=fail) as ledger:
        ledger.append_message(a_message(stage, 0))
        await ledger.flush(call.call_id)
    assert len(await store.messages.of_call(call.call_id)) == 1
    await database.close()


def lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.fixture
async def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A SQLite database that does not wait long for another program's lock."""
    monkeypatch.setattr(antiphon.store.database, "BUSY_TIMEOUT_MS", 20)
    database = await Database.open(f"sqlite:///{tmp_path}/antiphon.db")
    yield database
    await database.close()


async def test_a_locked_file_is_waited_for(impatient: Database, tmp_path: Path) -> None:
    store = Repositories.of(impatient)
    call, stage = await a_live_call(store)
    troubles = Troubles()
    async with Ledger(impatient, on_trouble=troubles) as ledger:
        other = lock(tmp_path / "antiphon.db")
        ledger.append_message(a_message(stage, 0))
        await troubles.wait()
        other.rollback()
        other.close()
        await ledger.flush(call.call_id)
    assert troubles.told[0].error == "the database failed: database is locked"
    assert len(await store.messages.of_call(call.call_id)) == 1


async def test_while_nothing_can_be_written_memory_is_bounded(impatient: Database, tmp_path: Path) -> None:
    store = Repositories.of(impatient)
    call, stage = await a_live_call(store)
    troubles = Troubles()
    async with Ledger(impatient, on_trouble=troubles, capacity_bytes=10 * (ENTRY_BYTES + 100)) as ledger:
        other = lock(tmp_path / "antiphon.db")
        for number in range(30):
            ledger.append_event(an_event(stage))
            ledger.append_message(a_message(stage, number))
        other.rollback()
        other.close()
        await ledger.flush()
    messages = await store.messages.of_call(call.call_id)
    events = await store.events.of_call(call.call_id)
    assert [message.ordinal for message in messages] == list(range(len(messages)))
    assert len(events) == 5
    assert 15 <= len(messages) < 20
    assert ledger.counts.dropped == 60 - len(messages) - len(events)
    assert ledger.waiting == 0


async def test_closing_without_being_able_to_write_says_what_is_lost(impatient: Database, tmp_path: Path) -> None:
    call, stage = await a_live_call(Repositories.of(impatient))
    ledger = Ledger(impatient)
    await ledger.start()
    other = lock(tmp_path / "antiphon.db")
    ledger.append_message(a_message(stage, 0))
    ledger.append_message(a_message(stage, 1))
    flush = asyncio.create_task(ledger.flush(call.call_id))
    with pytest.raises(StoreError, match="2 entries of calls are lost"):
        await ledger.close(timeout_s=0.2)
    with pytest.raises(StoreError, match="lost"):
        await flush
    with pytest.raises(StoreError, match="not running"):
        await ledger.flush(call.call_id)
    other.close()


async def test_a_lost_connection_to_postgresql_is_made_anew(postgres_url: str) -> None:
    database = await Database.open(postgres_url)
    store = Repositories.of(database)
    call, stage = await a_live_call(store)
    async with Ledger(database) as ledger:
        ledger.append_message(a_message(stage, 0))
        await ledger.flush(call.call_id)
        operator = await asyncpg.connect(postgres_url)
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'antiphon' AND datname = current_database()"
        )
        await operator.close()
        ledger.append_message(a_message(stage, 1))
        await ledger.flush(call.call_id)
    assert len(await store.messages.of_call(call.call_id)) == 2
    await database.close()
