"""The lock on a data folder: a second server on it would end the first one's live calls on record.

It is ``flock(2)`` on a file in the folder, which the kernel lets go when the last process that holds it has ended,
however that was. Workers hold it together with their front: those that outlive a front that was killed still end their
calls. Imports nothing that takes long.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from antiphon.errors import DataFolderError

NAME = "server.lock"
SUFFIX = ".lock"
ORPHANS_PATIENCE_S = 15.0
"""For the workers of a front that was killed to end their calls and themselves."""

_LOOK_EVERY_S = 0.1


@contextlib.contextmanager
def locked(folder: Path, database: Path | None = None) -> Iterator[tuple[int, ...]]:
    """Keep other servers away from ``folder``, and from the SQLite file where that lies elsewhere.

    Gives the descriptors to hand down to workers. Raises :class:`DataFolderError` where another server is there.
    """
    paths = [(folder / NAME, f"the data folder {folder}")]
    if database is not None and database.parent != folder:
        paths.append((database.with_name(database.name + SUFFIX), f"the database {database}"))
    with contextlib.ExitStack() as held:
        descriptors = []
        for path, what in paths:
            descriptor = _open(path)
            held.callback(os.close, descriptor)
            _lock(descriptor, path, what)
            descriptors.append(descriptor)
        yield tuple(descriptors)


def holder(folder: Path) -> str | None:
    """Which process holds ``folder`` now, in words; ``None`` where none does."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = _holder(descriptor)
        return "of a process that is gone" if process is None else f"process {process}"
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(f"cannot write {path}: {error.strerror}; choose another --data-dir") from None


def _lock(descriptor: int, path: Path, what: str) -> None:
    until = time.monotonic() + ORPHANS_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if holder is not None and not _runs(holder) and time.monotonic() < until:
                time.sleep(_LOOK_EVERY_S)
                continue
            process = f" (process {holder})" if holder is not None else ""
            raise DataFolderError(
                f"{what} is in use by another server{process}; stop that one, or choose another --data-dir"
            ) from None
        except OSError as error:
            raise DataFolderError(f"cannot lock {path}: {error.strerror}; choose another --data-dir") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return


def _holder(descriptor: int) -> int | None:
    """Return the process that took the lock. It may be gone, and others that it started hold it still."""
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
