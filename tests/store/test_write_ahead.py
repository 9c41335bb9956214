"""What was said and not yet committed when the process was killed is put on record at the next start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import StageRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.store.write_ahead import WriteAhead
from tests.store.samples import a_call, a_message, a_stage


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Repositories, Ledger, StageRecord]]:
    async with AsyncExitStack() as stack:
        database = await Database.open(f"sqlite:///{tmp_path / 'antiphon.db'}")
        stack.push_async_callback(database.close)
        ledger = await stack.enter_async_context(Ledger(database))
        repositories = Repositories.of(database)
        call = a_call()
        stage = a_stage(call)
        await repositories.calls.create(call, [stage], [])
        yield repositories, ledger, stage


async def test_what_was_left_behind_is_recorded(
    tmp_path: Path, store: tuple[Repositories, Ledger, StageRecord]
) -> None:
    repositories, ledger, stage = store
    messages = [a_message(stage, number) for number in range(3)]
    write_ahead = WriteAhead(tmp_path / "live")
    for message in messages:
        write_ahead.add(message)
    await repositories.messages.append(messages[:2])  # the ledger had got so far
    (file,) = (tmp_path / "live").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    with file.open("ab") as cut_off:
        cut_off.write(b'{"call_id":"')
    await WriteAhead(tmp_path / "live").recover(ledger)
    assert await repositories.messages.of_call(stage.call_id) == tuple(messages)
    assert list((tmp_path / "live").iterdir()) == []


async def test_a_stage_that_had_just_begun_is_recorded_with_its_messages(
    tmp_path: Path, store: tuple[Repositories, Ledger, StageRecord]
) -> None:
    repositories, ledger, stage = store
    second = replace(stage, stage_id=new_id(), index=1, settings={"systemPrompt": "You sell."})
    write_ahead = WriteAhead(tmp_path / "live")
    write_ahead.add(a_message(stage, 0))
    write_ahead.add(second)
    write_ahead.add(a_message(second, 1))
    await WriteAhead(tmp_path / "live").recover(ledger)
    assert await repositories.stages.get(stage.call_id, second.stage_id) == second
    assert await repositories.messages.of_stage(stage.call_id, second.stage_id) == (a_message(second, 1),)
    call = await repositories.calls.get(stage.call_id)
    assert call is not None
    assert (call.current_stage_id, call.latest) == (second.stage_id, second.settings)


async def test_what_is_recorded_leaves_nothing_behind(
    tmp_path: Path, store: tuple[Repositories, Ledger, StageRecord]
) -> None:
    write_ahead = WriteAhead(tmp_path / "live")
    write_ahead.close(store[2].call_id, recorded=True)  # nothing was said
    write_ahead.add(a_message(store[2], 0))
    write_ahead.close(store[2].call_id, recorded=True)
    assert list((tmp_path / "live").iterdir()) == []
    write_ahead.add(a_message(store[2], 0))
    write_ahead.close(store[2].call_id, recorded=False)
    assert len(list((tmp_path / "live").iterdir())) == 1


async def test_a_disk_that_cannot_be_written_fails_no_call(
    tmp_path: Path, store: tuple[Repositories, Ledger, StageRecord]
) -> None:
    (tmp_path / "live").write_text("not a folder")
    with capture_logs() as logs:
        WriteAhead(tmp_path / "live").add(a_message(store[2], 0, text="a secret"))
    assert [entry["event"] for entry in logs] == ["spool_failed"]
    assert "a secret" not in str(logs)
