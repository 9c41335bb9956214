"""What the front and its workers say to each other: whole messages over a socket pair, some with a connection.

Both ends are processes of one server, started one by the other, and nobody else can reach the sockets: messages are
pickled as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from antiphon.config.config import Config
from antiphon.engines.condition import EngineState
from antiphon.lifecycle.admission import Reading

LARGEST_MESSAGE_BYTES = 65_536
READ_AT_ONCE = 64
"""Messages, before others on the loop have their turn."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is started with. ``first``: it ends what a former server left.

    ``makes_key``: it makes the first API key, once its models are loaded. ``folder`` is where the workers of this
    server find each other, see :func:`socket_path`.
    """

    config: Config
    number: int
    first: bool
    makes_key: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class Connected:
    """To a worker: somebody has connected; the socket comes along."""


@dataclass(frozen=True, slots=True)
class Peers:
    """To a worker: the others that are ready for calls, and what they know of their engines."""

    readings: tuple[Reading, ...]
    engines: tuple[EngineState, ...] = ()


@dataclass(frozen=True, slots=True)
class Bury:
    """To a worker: that one is gone; end its calls on record."""

    worker: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: the whole server stops. Take no new calls, and end with the live ones; or end those ``at_once``."""

    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """Both ways: a call that another worker waits for was joined."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Both ways: a call that another worker waits for was deleted."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Serving:
    """From a worker: it takes connections from now on."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """From the worker that ``makes_key``: its models are loaded. ``first_key``: the API key that it made."""

    first_key: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """From a worker, several times a second. ``full``: another call would be too much for it."""

    ready: bool
    full: bool
    reading: Reading
    engines: tuple[EngineState, ...] = ()


@dataclass(frozen=True, slots=True)
class Buried:
    """From a worker: the calls of that one are ended."""

    worker: int


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: it cannot serve, for a reason that is the operator's to mend."""

    line: str


ToWorker: TypeAlias = Connected | Peers | Bury | Stop | Joined | Deleted
FromWorker: TypeAlias = Serving | Loaded | Report | Buried | Joined | Deleted | Failed


class Channel:
    """One end of a socket pair. ``open`` it in a running event loop; sending works before."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[object, socket.socket | None], None],
        on_lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_message = on_message
        self._on_lost = on_lost

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two sockets, connected, that keep messages apart."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def open(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)

    def send(self, message: ToWorker | FromWorker, connection: socket.socket | None = None) -> bool:
        """``False`` where the other end is gone, or has so much to read that it must be stuck."""
        data = pickle.dumps(message)
        try:
            if connection is None:
                self._sock.send(data)
            else:
                socket.send_fds(self._sock, [data], [connection.fileno()])
        except OSError:
            return False
        return True

    def drain(self) -> None:
        """Read what there is, for the last time: the other end is gone."""
        self._read()

    def close(self) -> None:
        """Read and send no more."""
        if self._sock.fileno() != -1:
            with contextlib.suppress(RuntimeError):  # the loop is over
                asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._sock.fileno() == -1:
                return
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, LARGEST_MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self.close()
                self._on_lost()
                return
            connection = None
            if descriptors:
                connection = socket.socket(fileno=descriptors[0])
                connection.set_inheritable(False)
            self._on_message(pickle.loads(data), connection)
