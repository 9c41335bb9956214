"""llama.cpp, as the engine sees it: a model to chat with. The work is done by ``llama_process.py``, in a child process.

Loaded in this process, llama.cpp would stop the event loop for seconds; so it also cannot take the calls along when it
dies. A child that died is started again by the next chat.
"""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from antiphon.engines.llama_process import COUNT, NO_LIBRARY, Loaded, Orders
from antiphon.errors import EngineError, ModelCorrupt, ModelMissing, SetupError

_LARGEST_ANSWER_BYTES = 65_536
_END_PATIENCE_S = 5.0


class ContextExceeded(Exception):
    """The prompt has ``prompt_tokens``, more than fit."""

    def __init__(self, prompt_tokens: int) -> None:
        super().__init__(prompt_tokens)
        self.prompt_tokens = prompt_tokens


@dataclass(frozen=True, slots=True)
class _Child:
    """The process, and the socket over which it is told what to do. It ends when the socket is closed."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    @classmethod
    def start(cls) -> _Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "antiphon.engines.llama_process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for us alone
            )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Kill it: it has nothing to lose, and its memory is free at once."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_PATIENCE_S)
        self.control.close()


class LlamaServer:
    """A GGUF model and its slots. All methods block; ``chat`` may run in several threads at once."""

    def __init__(self, path: Path, threads: int, context_tokens: int, slots: int) -> None:
        self._path = path
        self._threads = threads
        self._context_tokens = context_tokens
        self._slots = slots
        self._child: _Child | None = None
        self._closed = False
        self._loading = threading.Lock()

    def load(self) -> None:
        """Load the model, unless it is. Raises ``ModelMissing`` or ``ModelCorrupt``."""
        self._running()

    def chat(self, request: Mapping[str, Any], deliver: Callable[[dict[str, Any]], bool]) -> None:
        """Stream the answer to a chat completion request, chunk by chunk, until ``deliver`` returns True.

        Returns when the slot is free again. Raises :class:`ContextExceeded`, or :class:`EngineError`.
        """
        child = self._running()
        connection, theirs = Pipe()
        with connection:
            with theirs:
                try:
                    socket.send_fds(child.control, [b"chat"], [theirs.fileno()])
                    connection.send_bytes(json.dumps(request).encode())
                except OSError:
                    raise EngineError("llama.cpp has died") from None
            problem = _receive(connection, deliver)
        if problem is None:
            return
        if problem.get("type") == "exceed_context_size_error":
            raise ContextExceeded(int(problem["n_prompt_tokens"]))
        # Not its message: that may quote the prompt.
        raise EngineError(f"llama.cpp refused: {problem.get('type', 'error')} {problem.get('code', '')}".rstrip())

    def count(self, messages: Sequence[Mapping[str, str]]) -> int:
        """Tokens of a chat as the model reads it. Takes no slot. Raises :class:`EngineError`."""
        child = self._running()
        connection, theirs = Pipe()
        with connection:
            try:
                with theirs:
                    socket.send_fds(child.control, [COUNT], [theirs.fileno()])
                connection.send_bytes(json.dumps(messages).encode())
                return int(json.loads(connection.recv_bytes()))
            except (OSError, EOFError):
                raise EngineError("llama.cpp could not count a prompt") from None

    @property
    def processor_s(self) -> float:
        """Processor time that the child has used, seconds; 0 where it does not run or the system cannot tell."""
        child = self._child
        if child is None:
            return 0.0
        try:
            # Linux makes the clock of a process from its id: MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h.
            return time.clock_gettime((~child.process.pid << 3) | 2)
        except (OSError, AttributeError):
            return 0.0

    @property
    def resident_bytes(self) -> int:
        """Memory of the child, model included; 0 where it does not run or the system cannot tell."""
        child = self._child
        if child is None:
            return 0
        try:
            pages = int(Path(f"/proc/{child.process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * resource.getpagesize()

    def close(self) -> None:
        """Free the model; what runs is cut off, and what loads is given up. Safe to call twice."""
        self._closed = True
        if (child := self._child) is not None:
            child.end()

    def _running(self) -> _Child:
        with self._loading:
            if self._child is not None and self._child.alive and not self._closed:
                return self._child
            if self._child is not None:
                self._child.end()
            if self._closed:
                raise EngineError("the language model is closed", retryable=False)
            if not self._path.is_file():
                raise ModelMissing(f"there is no language model at {self._path}")
            self._child = _Child.start()
            self._load(self._child)
            return self._child

    def _load(self, child: _Child) -> None:
        with tempfile.TemporaryDirectory(prefix="antiphon-") as folder:
            orders = Orders(str(self._path), self._threads, self._context_tokens, self._slots, folder)
            try:
                if self._closed:  # since it was last looked at, and ``close`` may have seen no child to end
                    raise OSError
                child.control.send(orders.to_json())
                answer = child.control.recv(_LARGEST_ANSWER_BYTES)
            except OSError:
                answer = b""
        if not answer:
            child.end()
            if self._closed:
                raise EngineError("the language model is closed", retryable=False)
            code = child.process.returncode
            raise EngineError(f"llama.cpp ended with exit code {code} while it loaded {self._path}", retryable=False)
        loaded = Loaded(**json.loads(answer))
        if loaded.failure is None:
            return
        child.end()
        if loaded.failure == NO_LIBRARY:
            raise SetupError(
                f"llama.cpp cannot be loaded: {loaded.reason}; the embedded language model needs the system's OpenMP "
                "(Debian: apt-get install libgomp1)"
            )
        raise ModelCorrupt(
            f"{self._path} cannot be loaded: it is no GGUF model that llama.cpp knows, or memory is short"
        )


def _receive(connection: Connection, deliver: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Hand on the chunks of one chat until its end. Return llama.cpp's error, where there was one."""
    problem: dict[str, Any] | None = None
    stopped = False
    while True:
        try:
            data = connection.recv_bytes()
        except (EOFError, OSError):
            raise EngineError("llama.cpp has died") from None
        if not data:
            return problem
        chunk = json.loads(data)
        if "error" in chunk:
            problem = chunk["error"]
        elif problem is None and not stopped and deliver(chunk):
            stopped = True
            with contextlib.suppress(OSError):
                connection.send_bytes(b"stop")
