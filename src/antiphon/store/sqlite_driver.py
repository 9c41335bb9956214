"""aiosqlite under SQLAlchemy, with one visit to the driver's thread for each statement.

SQLAlchemy's own adapter makes four of each (a cursor, the statement, its rows, the cursor's end), and one more each to
begin a transaction, to commit it and to roll back what is committed. A visit costs some 70 µs of the processor and a
round of the event loop, which is more than most of our statements take: nine of them were half of what a `GET` cost.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.util import await_only

T = TypeVar("T")


class Cursor:
    """PEP 249's cursor, as far as SQLAlchemy uses it. All rows are there when ``execute`` returns."""

    server_side = False
    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> None:
        """Run one statement."""
        self._run(lambda cursor: cursor.execute(operation, parameters or ()))

    def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of ``parameters``."""
        self._run(lambda cursor: cursor.executemany(operation, parameters))

    def _run(self, statement: Callable[[sqlite3.Cursor], object]) -> None:
        def visit(connection: sqlite3.Connection) -> list[Any]:
            cursor = connection.cursor()
            try:
                statement(cursor)
                self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
                return cursor.fetchall() if cursor.description else []
            finally:
                cursor.close()

        self._rows = deque(self._connection.visit(visit))

    def fetchone(self) -> Any:
        """The next row, or ``None``."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Up to ``size`` rows."""
        return [self._rows.popleft() for _ in range(min(size or self.arraysize, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()

    def setinputsizes(self, *_: object) -> None:
        """Nothing: SQLite needs no sizes."""

    def close(self) -> None:
        """Forget the rows; SQLite's cursor is closed already."""
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """SQLAlchemy calls it where rows are kept beyond the connection."""


class Connection(AsyncAdapt_aiosqlite_connection):
    """A connection whose transactions begin with their first statement, on the way to it."""

    __slots__ = ("_begin", "_visiting")

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begin: str | None = None
        self._visiting = False

    def cursor(self, server_side: bool = False) -> Any:
        """A new cursor."""
        return super().cursor(server_side) if server_side else Cursor(self)

    def begin(self, statement: str) -> None:
        """Run ``statement`` (``BEGIN``, of whatever kind) before the next one."""
        self._begin = statement

    def visit(self, visitor: Callable[[sqlite3.Connection], T]) -> T:
        """What ``visitor`` returns from the driver's thread. Raises what it raises."""
        begin, self._begin = self._begin, None

        def whole() -> T:
            connection: sqlite3.Connection = self._connection._conn
            if begin is not None:
                connection.execute(begin)
            return visitor(connection)

        self._visiting = True
        try:
            found: T = await_only(self._connection._execute(whole))
        except Exception as error:
            self._visiting = False
            self._handle_exception(error)
        # Not where the wait for it was cancelled: the visit goes on then, and nobody knows what it will have done.
        self._visiting = False
        return found

    def commit(self) -> None:
        """Commit, where there is anything to."""
        if self._in_transaction():
            super().commit()

    def rollback(self) -> None:
        """Roll back, where there is anything to."""
        if self._in_transaction():
            super().rollback()

    def _in_transaction(self) -> bool:
        self._begin = None
        return bool(self._visiting or self._connection._connection is None or self._connection.in_transaction)


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """PEP 249's module: give it to ``create_async_engine`` as its ``module``."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arguments: Any, **options: Any) -> Connection:
        """A new connection."""
        return Connection(self, super().connect(*arguments, **options)._connection)
