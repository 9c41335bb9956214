"""When a ledger writes: after others have come, or at once where somebody waits. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

import antiphon.store.ledger
from antiphon.store.database import Database
from antiphon.store.ledger import GATHERING_S, Ledger
from antiphon.store.ledger_batch import Entry
from antiphon.testing.virtual_clock import run_virtual
from tests.store.samples import a_call, a_stage, an_event

WRITING_S = 0.1
LATER_S = 1.0

Written = list[tuple[float, int]]
"""When each transaction began, and of how many entries."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What is written to a database that takes its time."""
    told: Written = []

    async def write(_: Database, entries: Sequence[Entry]) -> None:
        told.append((round(asyncio.get_running_loop().time(), 3), len(entries)))
        await asyncio.sleep(WRITING_S)

    monkeypatch.setattr(antiphon.store.ledger, "write_entries", write)
    return told


def test_entries_wait_for_others_also_those_that_come_while_something_is_written(written: Written) -> None:
    async def run() -> None:
        event = an_event(a_stage(a_call()))
        async with Ledger(cast(Database, None)) as ledger:
            ledger.append_event(event)
            await asyncio.sleep(GATHERING_S / 2)
            ledger.append_event(event)
            await asyncio.sleep(GATHERING_S / 2 + WRITING_S / 2)
            ledger.append_event(event)
            await asyncio.sleep(WRITING_S)
            ledger.append_event(event)
            await asyncio.sleep(LATER_S)
            assert ledger.waiting == 0

    run_virtual(run())
    assert written == [(GATHERING_S, 2), (GATHERING_S + WRITING_S + GATHERING_S, 2)]


def test_who_waits_does_not_wait_for_others(written: Written) -> None:
    async def run() -> None:
        event = an_event(a_stage(a_call()))
        async with Ledger(cast(Database, None)) as ledger:
            await asyncio.sleep(LATER_S)
            ledger.append_event(event)
            first = asyncio.create_task(ledger.flush(event.call_id))
            await asyncio.sleep(WRITING_S / 2)
            ledger.append_event(event)
            await ledger.flush(event.call_id)
            await first

    run_virtual(run())
    assert written == [(LATER_S, 1), (LATER_S + WRITING_S, 1)]
