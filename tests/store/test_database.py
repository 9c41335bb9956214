from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.util import greenlet_spawn

from antiphon.errors import DataFolderError, StoreError
from antiphon.store import database as opening
from antiphon.store.database import Database, read_server_id
from antiphon.store.repositories import Repositories
from antiphon.store.schema import MIGRATIONS
from antiphon.store.tables import Base
from tests.store.samples import a_call, a_tool


async def test_the_migrated_schema_is_the_one_of_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_opening_again_keeps_what_was_stored(url: str) -> None:
    call = a_call()
    first = await Database.open(url)
    await Repositories.of(first).calls.create(call)
    await first.close()
    second = await Database.open(url)
    assert await Repositories.of(second).calls.get(call.call_id) == call
    await second.close()


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    database = await Database.open(url)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    error = DataFolderError if url.startswith("sqlite") else StoreError
    with pytest.raises(error, match=r"newer version of Antiphon \(schema 9999\)") as caught:
        await Database.open(url)
    assert "\n" not in str(caught.value)


async def test_a_failed_block_stores_nothing(database: Database, store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)

    async def delete_and_fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("DELETE FROM calls"))
            await connection.execute(text("INSERT INTO calls (call_id) VALUES ('incomplete')"))

    with pytest.raises(StoreError):
        await delete_and_fail()
    assert await store.calls.get(call.call_id) == call


async def test_sqlite_is_set_up_for_live_calls(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on demand" / "antiphon.db"
    database = await Database.open(f"sqlite:///{path}")
    async with database.read() as connection:
        found = [(await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in PRAGMAS]
    await database.close()
    assert dict(zip(PRAGMAS, found, strict=True)) == PRAGMAS
    assert path.stat().st_mode & 0o777 == 0o600


PRAGMAS = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 5000}


async def test_a_wrong_database_or_user_of_postgresql_is_named(postgres_server: str) -> None:
    with pytest.raises(StoreError, match=r'/no_such, see database_url: database "no_such" does not exist'):
        await Database.open(f"{postgres_server}/no_such")
    nobody = postgres_server.replace("postgres@", "nobody:secret@")
    with pytest.raises(StoreError, match=r'nobody:\*\*\*@.*: role "nobody" does not exist') as caught:
        await Database.open(f"{nobody}/postgres")
    assert "secret" not in str(caught.value)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        DataFolderError, match=r"cannot write .*/file/x/a\.db: .*; choose another --data-dir, or database_url$"
    ):
        await Database.open(f"sqlite:///{tmp_path}/file/x/a.db")


async def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(
        DataFolderError, match=r"cannot write /proc/antiphon\.db: .*; choose another --data-dir, or database_url$"
    ):
        await Database.open("sqlite:////proc/antiphon.db")


async def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.db"
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(DataFolderError, match=r"cannot open .*antiphon\.db: file is not a database; choose"):
        await Database.open(f"sqlite:///{path}")
    assert path.read_text().startswith("Dear diary")


async def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE calls (whose TEXT)")
    other.close()
    with pytest.raises(DataFolderError, match="table calls already exists"):
        await Database.open(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("calls",)]
    other.close()


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/name", "antiphon.db", "", "postgresql://me:secret@host:secret/name"]
)
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="database_url must begin with sqlite:/// or postgresql://") as caught:
        await Database.open(url)
    assert "secret" not in str(caught.value)
    assert ("not with mysql://" in str(caught.value)) == url.startswith("mysql")


async def test_memory_is_not_a_place_for_calls() -> None:
    with pytest.raises(DataFolderError, match="must be a file"):
        await Database.open("sqlite:///:memory:")


async def test_an_unreachable_postgresql_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"cannot open the database at .*127\.0\.0\.1:1/calls") as caught:
        await Database.open("postgresql://me:secret@127.0.0.1:1/calls?password=secret")
    assert "database_url" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_keeps_its_name(tmp_path: Path) -> None:
    first = read_server_id(tmp_path, "host")
    assert read_server_id(tmp_path, "host") == first
    assert first.startswith("host/")
    other = tmp_path / "other"
    other.mkdir()
    assert read_server_id(other, "host") != first
    with pytest.raises(DataFolderError, match="cannot write"):
        read_server_id(tmp_path / "missing", "host")


async def test_a_write_given_up_midway_leaves_no_lock_behind(store: Repositories) -> None:
    """A client that hangs up cancels its request, at any step of its transaction."""
    kept = []
    for steps in range(1, 60, 2):
        given_up, next_call = a_call(), a_call()
        writing = asyncio.create_task(store.calls.create(given_up))
        for _ in range(steps):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        await asyncio.wait_for(store.calls.create(next_call), 4)
        kept.append(next_call.call_id)
        if not writing.cancelled():
            kept.append(given_up.call_id)
    for call_id in kept:
        assert await store.calls.get(call_id) is not None


async def test_a_database_of_an_older_version_is_brought_up_with_all_it_holds(url: str) -> None:
    def back_to_the_first(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")

    call = a_call()
    database = await Database.open(url)
    await Repositories.of(database).calls.create(call)
    async with database.write() as connection:
        await connection.run_sync(back_to_the_first)
    await database.close()
    again = await Database.open(url)
    store = Repositories.of(again)
    assert await store.calls.get(call.call_id) == call
    await store.tools.create(a_tool("lookUp"))
    await again.close()


class LockedJournal:
    """A cursor of a file that others are opening, too."""

    def __init__(self, refusals: int, why: str = "database is locked") -> None:
        self.refusals = refusals
        self.asked = 0
        self._why = why

    def execute(self, statement: str) -> None:
        assert statement == "PRAGMA journal_mode=WAL"
        self.asked += 1
        if self.asked <= self.refusals:
            raise sqlite3.OperationalError(self._why)


async def test_a_journal_that_others_are_changing_is_waited_for() -> None:
    cursor = LockedJournal(refusals=3)
    await greenlet_spawn(opening._write_ahead, cursor)
    assert cursor.asked == 4


async def test_a_journal_that_stays_locked_or_is_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_MS", 60)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await greenlet_spawn(opening._write_ahead, LockedJournal(refusals=100))
    broken = LockedJournal(refusals=100, why="disk I/O error")
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        await greenlet_spawn(opening._write_ahead, broken)
    assert broken.asked == 1
