"""What went wrong in a database, in one line that holds nothing of what was being stored."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from antiphon.errors import StoreError

# Classes of SQLSTATE that may pass by themselves: connection, read-only for now, rolled back, resources,
# object in use, operator intervention, system error.
_PASSING_STATES = ("08", "25", "40", "53", "55", "57", "58")
_DRIVER_CLASS = re.compile(r"^<class '[\w.]+'>: ")


def one_line(error: BaseException) -> str:
    """The first line of the driver's own message. PostgreSQL's further lines quote the row."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(error, SQLAlchemyError) and cause is error and not isinstance(error, PoolTimeout):
        # Raised while a statement was put together: its text would show the values.
        return type(error).__name__
    text = str(cause).strip()
    first = _DRIVER_CLASS.sub("", text.splitlines()[0]) if text else ""
    return first or type(cause).__name__


def passing(error: BaseException) -> bool:
    """Whether the same statement may succeed a moment later."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(state, str):
            return state[:2] in _PASSING_STATES
        return isinstance(error, OperationalError)
    return isinstance(error, OSError | TimeoutError | PoolTimeout | sqlite3.OperationalError)


def store_error(error: BaseException) -> StoreError:
    """``error`` of the database as one of ours."""
    return StoreError(f"the database failed: {one_line(error)}", retryable=passing(error))
