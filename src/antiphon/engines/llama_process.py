"""llama.cpp in a process of its own, for one :class:`~antiphon.engines.llama_server.LlamaServer`.

xllamacpp holds the interpreter for all the seconds that a model takes to load (measured: 4 to 6 s for 1.1 GB). In the
server's process no call, no request and no ``/healthz`` would be answered for as long.

Started as ``python -m antiphon.engines.llama_process DESCRIPTOR``, where the descriptor is one end of a socket pair.
The first message on it is the :class:`Orders`, as JSON. The answer is a :class:`Loaded`. Every further message brings
the descriptor of a connection for one chat: a request comes over it, chunks go back as llama.cpp writes them, and an
empty message ends them. Anything sent after the request stops the chat. The process ends with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

BATCH = 64
"""Prompt tokens read between two looks at whether anybody still wants the answer."""

_SWAP_MIB = 256
"""Memory for the prompts of calls that had to leave their slot; about 35 tokens to a MiB."""

_ERRORS_ONLY = 0
_LARGEST_MESSAGE_BYTES = 65_536

NO_LIBRARY = "library"
NO_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Orders:
    """What to load. ``folder``: an empty one, for a socket that llama.cpp insists on."""

    path: str
    threads: int
    context_tokens: int
    slots: int
    folder: str

    def to_json(self) -> bytes:
        """The message."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it: ``failure`` is ``None``, ``NO_LIBRARY`` or ``NO_MODEL``, with the ``reason``."""

    failure: str | None = None
    reason: str = ""

    def to_json(self) -> bytes:
        """The message."""
        return json.dumps(asdict(self)).encode()


def main() -> None:
    """Load, and serve chats until the parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _leave_signals_to_the_parent()
    orders = Orders(**json.loads(control.recv(_LARGEST_MESSAGE_BYTES)))
    try:
        server = _start(orders)
    except ImportError as error:
        control.send(Loaded(NO_LIBRARY, str(error)).to_json())
        return
    except RuntimeError as error:
        control.send(Loaded(NO_MODEL, str(error)).to_json())
        return
    _leave_signals_to_the_parent()  # llama.cpp's server has taken handlers of its own before now
    control.send(Loaded().to_json())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE_BYTES, 1)
        if not message:
            os._exit(0)  # whatever is computed is for nobody
        threading.Thread(target=_chat, args=(server, Connection(descriptors[0])), daemon=True).start()


def _leave_signals_to_the_parent() -> None:
    """Ignore what a terminal or a service manager sends to a whole group: the parent ends its calls first, then us."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)


def _chat(server: Any, connection: Connection) -> None:
    """Serve one chat."""

    def on_chunk(chunk: bytes) -> bool:
        try:
            connection.send_bytes(chunk)
            return connection.poll()
        except OSError:  # the parent is gone
            return True

    with connection, contextlib.suppress(EOFError, OSError):
        request = connection.recv_bytes()
        try:
            server.handle_chat_completions(request, on_chunk)
        except Exception as error:
            connection.send_bytes(json.dumps({"error": {"type": type(error).__name__}}).encode())
        connection.send_bytes(b"")


def _start(orders: Orders) -> Any:
    # By default OpenMP's threads spin for milliseconds while they wait for each other, and then any other thread
    # that wants a core (voice activity, the event loop) makes generation ten times slower; never to spin costs a
    # third of the speed. OpenMP looks at this once, when it is loaded.
    os.putenv("GOMP_SPINCOUNT", "500")
    import xllamacpp

    params = _params(xllamacpp, orders)
    # It insists on listening for HTTP too: then on a socket with a key nobody knows, and at once without a name.
    params.hostnames = [os.path.join(orders.folder, "llama.sock")]
    params.api_keys = [secrets.token_urlsafe(32)]
    return xllamacpp.Server(params)


def _params(xllamacpp: Any, orders: Orders) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = orders.path
    params.n_parallel = orders.slots
    params.n_ctx = orders.context_tokens * orders.slots
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders.threads
    # Weights are rearranged for the CPU as they are read; mapped, they would be resident twice.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.cache_ram_mib = _SWAP_MIB
    params.prefill_assistant = False
    params.verbosity = _ERRORS_ONLY
    params.n_threads_http = 1
    params.ui = False
    params.endpoint_slots = False
    return params


if __name__ == "__main__":
    main()
