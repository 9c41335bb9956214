"""llama.cpp in a process of its own, for one :class:`~antiphon.engines.llama_server.LlamaServer`.

xllamacpp holds the interpreter for all the seconds that a model takes to load (measured: 4 to 6 s for 1.1 GB). In the
server's process no call, no request and no ``/healthz`` would be answered for as long.

Started as ``python -m antiphon.engines.llama_process DESCRIPTOR``, where the descriptor is one end of a socket pair.
The first message on it is the :class:`Orders`, as JSON. The answer is a :class:`Loaded`. Every further message brings
the descriptor of a connection for one chat: a request comes over it, chunks go back as llama.cpp writes them, and an
empty message ends them. Anything sent after the request stops the chat. A message ``COUNT`` brings one for a count:
messages come over it, and how many tokens they are goes back. The process ends with its parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

BATCH = 64
"""Prompt tokens read between two looks at whether anybody still wants the answer."""

_SWAP_MIB = 256
"""Memory for the prompts of calls that had to leave their slot; about 35 tokens to a MiB."""

_ERRORS_ONLY = 0
_LARGEST_MESSAGE_BYTES = 65_536

COUNT = b"count"
NO_LIBRARY = "library"
NO_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Orders:
    """What to load. ``folder``: an empty one, for a socket that llama.cpp insists on. ``key``: to be let in there."""

    path: str
    threads: int
    context_tokens: int
    slots: int
    folder: str
    key: str = field(default_factory=partial(secrets.token_urlsafe, 32), repr=False)

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
        with _ending_with_the_parent(control):
            server = _start(orders)
    except ImportError as error:
        control.send(Loaded(NO_LIBRARY, str(error)).to_json())
        return
    except RuntimeError as error:
        control.send(Loaded(NO_MODEL, str(error)).to_json())
        return
    _leave_signals_to_the_parent()  # llama.cpp's server has taken handlers of its own before now
    tokenizer = Tokenizer(orders)
    control.send(Loaded().to_json())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE_BYTES, 1)
        if not message:
            os._exit(0)  # whatever is computed is for nobody
        connection = Connection(descriptors[0])
        work = partial(_count, tokenizer) if message == COUNT else partial(_chat, server)
        threading.Thread(target=work, args=(connection,), daemon=True).start()


def _leave_signals_to_the_parent() -> None:
    """Ignore what a terminal or a service manager sends to a whole group: the parent ends its calls first, then us."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)


@contextlib.contextmanager
def _ending_with_the_parent(control: socket.socket) -> Iterator[None]:
    """Have the kernel end this process if the parent dies amid the block, in which no Python runs.

    SIGIO, whose default is to end, comes with whatever happens on the socket: with the parent waiting for our answer,
    that is only its end. (The kernel's signal for a parent's death would also come at the end of the thread that
    started us.)
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        if select.select([control], [], [], 0)[0]:  # gone before the kernel was asked
            os._exit(0)
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)


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


def _count(tokenizer: Tokenizer, connection: Connection) -> None:
    """Answer how many tokens the messages of one chat are."""
    with connection, contextlib.suppress(EOFError, OSError, http.client.HTTPException):
        messages = json.loads(connection.recv_bytes())
        connection.send_bytes(json.dumps(tokenizer.count(messages)).encode())


class Tokenizer:
    """The model's own, which llama.cpp gives by HTTP alone, on its socket without a name.

    It is asked beside chats: only they need a slot.
    """

    def __init__(self, orders: Orders) -> None:
        # Held open, the socket can be reached through /proc once its folder is gone.
        self._socket = os.open(_socket_of(orders), os.O_PATH)
        self._headers = {"Authorization": f"Bearer {orders.key}", "Content-Type": "application/json"}

    def count(self, messages: list[dict[str, str]]) -> int:
        """Tokens of a chat, with what the model's template adds."""
        prompt = self._ask("/apply-template", {"messages": messages})["prompt"]
        given = {"content": prompt, "add_special": True, "parse_special": True}
        return len(self._ask("/tokenize", given)["tokens"])

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(f"/proc/self/fd/{self._socket}")
            connection.request("POST", path, json.dumps(body).encode(), self._headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(answer.status)
            return json.loads(answer.read())


def _socket_of(orders: Orders) -> str:
    return os.path.join(orders.folder, "llama.sock")


def _start(orders: Orders) -> Any:
    # By default OpenMP's threads spin for milliseconds while they wait for each other, and then any other thread
    # that wants a core (voice activity, the event loop) makes generation ten times slower; never to spin costs a
    # third of the speed. OpenMP looks at this once, when it is loaded.
    os.putenv("GOMP_SPINCOUNT", "500")
    import xllamacpp

    params = _params(xllamacpp, orders)
    # It insists on listening for HTTP too: then on a socket with a key nobody knows, and at once without a name.
    params.hostnames = [_socket_of(orders)]
    params.api_keys = [orders.key]
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
