"""Opening a database, SQLite or PostgreSQL, and its transactions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from antiphon.errors import AntiphonError, DataFolderError, SetupError, StoreError
from antiphon.store.columns import dump_json
from antiphon.store.failures import one_line, store_error
from antiphon.store.schema import NewerSchema, upgrade
from antiphon.store.sqlite_driver import Driver

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
CACHE_KB = 512
"""Of SQLite, a connection. Its own 2 MB fill over some hundred calls, which looks like a leak and gains nothing."""

BUSY_TIMEOUT_MS = 5000
JOURNAL_RETRY_MS = 20
WORKER_MARK = "-w"
"""Between a server's id and a worker's number."""

_WRITES = "antiphon_writes"
_LOOKS = "antiphon_looks"


class Database:
    """An open database at the newest schema. Use ``await Database.open(url)``, and ``close()`` it."""

    def __init__(self, engine: AsyncEngine, server_id: str, worker: int | None = None) -> None:
        self._engine = engine
        self._write_engine = engine.execution_options(**{_WRITES: True})
        looks: dict[str, Any] = {_LOOKS: True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._look_engine = engine.execution_options(**looks)
        # SQLite has one writer at a time. Queueing here wakes the next at once; SQLite itself polls.
        self._one_writer = asyncio.Lock() if self.is_sqlite else None
        self.server = server_id
        """The whole server, all its processes."""
        self.server_id = server_id if worker is None else self.worker_id(worker)
        """Whose calls are made and joined through it."""

    def worker_id(self, worker: int) -> str:
        """Whose the calls of that worker of this server are."""
        return f"{self.server}{WORKER_MARK}{worker}"

    @classmethod
    async def open(cls, url: str, *, server_id: str = "local", worker: int | None = None) -> Self:
        """Connect, make the SQLite file if there is none, and bring the schema to the newest revision.

        Args:
            url: ``sqlite:////absolute/path.db`` or ``postgresql://user:password@host/name``.
            server_id: who owns the calls made through it, the same at every start of one server (see
                ``read_server_id``). A SQLite file has one owner, whatever is given.
            worker: the number of this process, where several share the work of one server.

        Raises:
            DataFolderError: the SQLite file cannot be made or written, is not a database, or is too new.
            StoreError: the same for PostgreSQL, or it cannot be reached, or the URL is of another kind.
            SetupError: the driver of PostgreSQL is not installed.

        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            _make_file(Path(parsed.database or ""))
            engine = _sqlite_engine(parsed)
            server_id = "local"
        else:
            engine = _postgres_engine(parsed)
        database = cls(engine, server_id, worker)
        try:
            async with database._write_engine.begin() as connection:
                await connection.run_sync(upgrade)
        except BaseException as error:
            await database.close()
            raise _opening_error(error, parsed) from None
        return database

    @property
    def is_sqlite(self) -> bool:
        """Whether one file is all there is; otherwise it is PostgreSQL."""
        return self._engine.dialect.name == "sqlite"

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, and sees one state of the database.

        Raises:
            StoreError: the database failed.

        """
        with _as_store_errors():
            async with self._engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def look(self) -> AsyncIterator[AsyncConnection]:
        """For one statement that only reads: cheaper than a transaction, and one state of the database all the same.

        Raises:
            StoreError: the database failed.

        """
        with _as_store_errors():
            async with self._look_engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed at the end of the block, rolled back when it raises.

        Raises:
            StoreError: the database failed; nothing of the block is stored, unless the connection was lost
                while committing.

        """
        async with self._one_writer or contextlib.nullcontext():
            with _as_store_errors():
                async with self._write_engine.begin() as connection:
                    yield connection


def read_server_id(data_folder: Path, host: str) -> str:
    """The name of this server, the same at every start: ``host`` and an id kept in its data folder.

    Raises:
        DataFolderError: the folder cannot be written.

    """
    path = data_folder / "server-id"
    try:
        with contextlib.suppress(FileExistsError), path.open("x", encoding="ascii") as file:
            file.write(os.urandom(8).hex())
        return f"{host}/{path.read_text(encoding='ascii').strip()}"
    except OSError as error:
        raise DataFolderError(f"cannot write {path}: {error.strerror}; choose another --data-dir") from None


@contextlib.contextmanager
def _as_store_errors() -> Any:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise store_error(error) from None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # neither quotes the URL, which may hold a password
        parsed = None
    if parsed is None or parsed.drivername not in DRIVERS:
        found = "" if parsed is None else f", not with {parsed.drivername}://"
        raise StoreError(
            f"database_url must begin with sqlite:/// or postgresql://{found}; "
            "the whole is sqlite:////absolute/path.db or postgresql://user:password@host:5432/name"
        )
    return parsed.set(drivername=DRIVERS[parsed.drivername])


def _make_file(path: Path) -> None:
    """SQLite would say "unable to open database file" for whatever reason; this says which."""
    if path.name in ("", ":memory:"):
        raise DataFolderError("the SQLite database of database_url must be a file: sqlite:////absolute/path.db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Conversations are nobody else's business.
        path.touch(mode=0o600)
        with path.open("r+b"):
            pass
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataFolderError(f"cannot write {path}: {reason}; choose another --data-dir, or database_url") from None


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, module=Driver(), json_serializer=dump_json, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # The driver shall not begin transactions by itself: `begin` below does.
        connection.isolation_level = None
        # SQLite's own lower() knows ASCII only; searches shall find "É" by "é".
        connection.create_function("lower", 1, _lower, deterministic=True)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", f"cache_size=-{CACHE_KB}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if not options.get(_LOOKS):
            # A transaction that turns from reading to writing midway fails at once if another has written meanwhile.
            connection.connection.dbapi_connection.begin("BEGIN IMMEDIATE" if options.get(_WRITES) else "BEGIN")

    return engine


def _write_ahead(cursor: Any) -> None:
    """Change a new file's journal. SQLite does not wait for whoever else is opening it; we do."""
    for attempts_left in range(BUSY_TIMEOUT_MS // JOURNAL_RETRY_MS, -1, -1):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not attempts_left or "locked" not in str(error):
                raise
            await_only(asyncio.sleep(JOURNAL_RETRY_MS / 1000))
        else:
            return


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _postgres_engine(url: URL) -> AsyncEngine:
    try:
        import asyncpg  # noqa: F401
    except ImportError as error:
        missing = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
        raise SetupError(
            f"database_url names PostgreSQL, whose driver asyncpg {missing}; "
            'run `pip install "antiphon[postgresql]"` in Antiphon\'s environment'
        ) from None
    return create_async_engine(
        url,
        json_serializer=dump_json,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=8,
        connect_args={
            "timeout": 10,
            "command_timeout": 60,
            "server_settings": {"application_name": "antiphon", "timezone": "UTC", "jit": "off"},
        },
    )


def _opening_error(error: BaseException, url: URL) -> BaseException:
    if not isinstance(error, Exception) or isinstance(error, AntiphonError):
        return error
    if url.get_backend_name() == "sqlite":
        if isinstance(error, NewerSchema):
            return DataFolderError(
                f"{url.database} was made by a newer version of Antiphon (schema {error}); upgrade Antiphon"
            )
        return DataFolderError(f"cannot open {url.database}: {one_line(error)}; choose another --data-dir")
    # Not the query: it may hold secrets. Nor the driver, which nobody wrote.
    where = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
    if isinstance(error, NewerSchema):
        return StoreError(f"{where} was made by a newer version of Antiphon (schema {error}); upgrade Antiphon")
    return StoreError(f"cannot open the database at {where}, see database_url: {one_line(error)}")
