"""SQLite's statements, one visit to the driver's thread each, and transactions that begin with the first of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import pytest_asyncio
from sqlalchemy import text

from antiphon.errors import StoreError
from antiphon.store.database import Database


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/antiphon.db")
    async with opened.write() as connection:
        await connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, said TEXT)"))
    yield opened
    await opened.close()


class Visits:
    """Counts what is handed to the driver's thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        plain: Any = aiosqlite.Connection._execute

        async def counting(connection: aiosqlite.Connection, *arguments: Any, **named: Any) -> Any:
            self.count += 1
            return await plain(connection, *arguments, **named)

        monkeypatch.setattr(aiosqlite.Connection, "_execute", counting)


async def said(database: Database) -> list[str]:
    async with database.look() as connection:
        return list((await connection.execute(text("SELECT said FROM notes ORDER BY id"))).scalars())


async def test_a_look_is_one_visit_and_a_transaction_one_more_than_its_statements(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(database)  # the connection is made
    visits = Visits(monkeypatch)
    await said(database)
    assert visits.count == 1
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO notes (said) VALUES ('one')"))
        await connection.execute(text("INSERT INTO notes (said) VALUES (:said)"), [{"said": "two"}, {"said": "three"}])
    assert visits.count == 4, "two statements and the commit"
    async with database.write():
        pass
    assert visits.count == 4, "what was not begun need not end"
    assert await said(database) == ["one", "two", "three"]


async def test_what_raises_leaves_nothing_behind(database: Database) -> None:

    async def broken(then: str) -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO notes (said) VALUES ('never')"))
            await connection.execute(text(then))
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        await broken("SELECT 1")
    with pytest.raises(StoreError):
        await broken("INSERT INTO nothing VALUES (1)")
    assert await said(database) == []
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO notes (said) VALUES ('after')"))
    assert await said(database) == ["after"]


async def test_a_read_sees_one_state_from_its_first_statement_on(database: Database) -> None:
    async with database.read() as reading:
        assert (await reading.execute(text("SELECT count(*) FROM notes"))).scalar_one() == 0
        async with database.write() as writing:
            await writing.execute(text("INSERT INTO notes (said) VALUES ('meanwhile')"))
        assert (await reading.execute(text("SELECT count(*) FROM notes"))).scalar_one() == 0
    assert await said(database) == ["meanwhile"]


async def test_a_write_holds_the_lock_from_its_first_statement_on(database: Database) -> None:
    """It would fail at once, midway, where another had written since it read (SQLITE_BUSY_SNAPSHOT)."""
    other = await aiosqlite.connect(database._engine.url.database or "", isolation_level=None, timeout=0)
    async with database.write() as connection:
        await connection.execute(text("SELECT count(*) FROM notes"))
        with pytest.raises(aiosqlite.OperationalError, match="locked"):
            await other.execute("INSERT INTO notes (said) VALUES ('other')")
        await connection.execute(text("INSERT INTO notes (said) VALUES ('ours')"))
    await other.execute("INSERT INTO notes (said) VALUES ('other')")
    await other.close()
    assert await said(database) == ["ours", "other"]


async def test_a_statement_that_is_given_up_ends_its_transaction(database: Database) -> None:
    """Nobody knows how far the driver's thread is: the connection is not used again."""
    entered = asyncio.Event()

    async def slow() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO notes (said) VALUES ('never')"))
            entered.set()
            numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            await connection.execute(text(f"{numbers} SELECT count(*) FROM n"))
            raise AssertionError("it was given up")

    task = asyncio.create_task(slow())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO notes (said) VALUES ('after')"))
        assert await said(database) == ["after"]


async def test_rows_come_one_by_one_or_all_and_say_how_many_were_changed(database: Database) -> None:
    async with database.write() as connection:
        result = await connection.execute(text("INSERT INTO notes (said) VALUES ('a'), ('b'), ('c')"))
        assert result.rowcount == 3
        changed = await connection.execute(text("UPDATE notes SET said = upper(said) WHERE said > 'a'"))
        assert changed.rowcount == 2
        found = await connection.execute(text("SELECT said FROM notes ORDER BY id"))
        assert list(found.keys()) == ["said"]
        assert found.fetchone() == ("a",)
        assert found.fetchmany(1) == [("B",)]
        assert found.fetchall() == [("C",)]
        none = await connection.execute(text("SELECT said FROM notes WHERE id > 9"))
        assert none.first() is None
