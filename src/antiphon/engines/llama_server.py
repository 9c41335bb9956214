"""llama.cpp in this process, through xllamacpp."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from antiphon.errors import EngineError, ModelCorrupt, ModelMissing, SetupError

_BATCH = 64
"""Prompt tokens read between two looks at whether anybody still wants the answer."""

_SWAP_MIB = 256
"""Memory for the prompts of calls that had to leave their slot; about 35 tokens to a MiB."""

_ERRORS_ONLY = 0


class ContextExceeded(Exception):
    """The prompt has ``prompt_tokens``, more than fit."""

    def __init__(self, prompt_tokens: int) -> None:
        super().__init__(prompt_tokens)
        self.prompt_tokens = prompt_tokens


class LlamaServer:
    """A GGUF model and its slots. All methods block; ``chat`` may run in several threads at once."""

    def __init__(self, path: Path, threads: int, context_tokens: int, slots: int) -> None:
        self._path = path
        self._threads = threads
        self._context_tokens = context_tokens
        self._slots = slots
        self._server: Any = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model, unless it is. Raises ``ModelMissing`` or ``ModelCorrupt``."""
        with self._lock:
            if self._server is None:
                if not self._path.is_file():
                    raise ModelMissing(f"there is no language model at {self._path}; run `antiphon models pull`")
                self._server = self._start()

    def chat(self, request: Mapping[str, Any], deliver: Callable[[dict[str, Any]], bool]) -> None:
        """Stream the answer to a chat completion request, chunk by chunk, until ``deliver`` returns True.

        Raises :class:`ContextExceeded`, or :class:`EngineError`.
        """
        self.load()
        with self._lock:
            server = self._server
        errors: list[dict[str, Any]] = []

        def on_chunk(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                errors.append(chunk["error"])
                return True
            return deliver(chunk)

        try:
            server.handle_chat_completions(dict(request), on_chunk)
        except Exception as error:
            raise EngineError(f"llama.cpp failed: {type(error).__name__}") from None
        for problem in errors:
            if problem.get("type") == "exceed_context_size_error":
                raise ContextExceeded(int(problem["n_prompt_tokens"]))
            # Not its message: that may quote the prompt.
            raise EngineError(f"llama.cpp refused: {problem.get('type', 'error')} {problem.get('code', '')}".rstrip())

    def close(self) -> None:
        """Free the model. No ``chat`` may be running. Safe to call twice."""
        with self._lock:
            self._server = None

    def _start(self) -> Any:
        # By default OpenMP's threads spin for milliseconds while they wait for each other, and then any other thread
        # that wants a core (voice activity, the event loop) makes generation ten times slower; never to spin costs a
        # third of the speed. OpenMP looks at this once, when it is loaded.
        os.putenv("GOMP_SPINCOUNT", "500")
        try:
            import xllamacpp
        except ImportError as error:
            raise SetupError(
                f"llama.cpp cannot be loaded: {error}; the embedded language model needs the system's OpenMP "
                "(Debian: apt-get install libgomp1)"
            ) from None
        finally:
            os.unsetenv("GOMP_SPINCOUNT")
        # It insists on listening for HTTP too: then on a socket with a key nobody knows, and at once without a name.
        with tempfile.TemporaryDirectory(prefix="antiphon-") as folder:
            params = self._params(xllamacpp)
            params.hostnames = [os.path.join(folder, "llama.sock")]
            params.api_keys = [secrets.token_urlsafe(32)]
            try:
                return xllamacpp.Server(params)
            except RuntimeError:
                raise ModelCorrupt(
                    f"{self._path} cannot be loaded: it is no GGUF model that llama.cpp knows, or memory is short"
                ) from None

    def _params(self, xllamacpp: Any) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.n_parallel = self._slots
        params.n_ctx = self._context_tokens * self._slots
        params.n_batch = params.n_ubatch = _BATCH
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        # Weights are rearranged for the CPU as they are read; mapped, they would be resident twice.
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
        params.cache_ram_mib = _SWAP_MIB
        params.prefill_assistant = False
        params.verbosity = _ERRORS_ONLY
        params.n_threads_http = 1
        params.ui = False
        params.endpoint_slots = False
        return params
