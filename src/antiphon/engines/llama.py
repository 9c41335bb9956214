"""The embedded language model: any GGUF file, through llama.cpp.

A call keeps its slot from turn to turn, so that only what was added since is read: at some 60 tokens a second a
prompt of 600 would take ten seconds. A reply cut by an interruption is read anew from the cut on, no sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.llama_server import ContextExceeded, LlamaServer
from antiphon.engines.llama_slots import Slots, Window
from antiphon.engines.protocols import Alive, Generated, Samples, Size, TextDelta, ToolCall, Usage
from antiphon.engines.threads import JOIN_PATIENCE_S, NativeThread, join_all
from antiphon.engines.tool_grammar import grammar
from antiphon.engines.tool_prompt import CallReader, as_text, usable
from antiphon.errors import AntiphonError, EngineError

_STOP = ("<|im_start|>", "<|im_end|>", "\nUser:", "\nuser:")
"""Where a small model begins to write the caller's part."""

_TEMPLATE_TOKENS = 64
"""More than a chat template adds to a message, or of itself."""

_REUSE_TOKENS = 16
"""Least run of tokens that is moved within the context, rather than read anew, when oldest messages are left out."""

_GIVES_WAY = 3
"""Times that a background generation with words already written stops for a reply, before it goes on beside them."""

_ALIVE_S = 1.0
"""Between two signs of life while something waits."""

_END = None
_Item: TypeAlias = Generated | AntiphonError | None


@dataclass(eq=False, slots=True)
class _Run:
    """One request in a thread of its own; what it brings comes through ``items``, ``_END`` last."""

    prompt: Prompt
    """In words alone, whatever tools there are."""
    max_tokens: int
    grammar: str | None = None
    seed: int | None = None
    """Of a background generation: begun again, it writes the same."""
    stubborn: bool = False
    """Goes on beside a reply that is written meanwhile, unless that has no slot."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    items: asyncio.Queue[_Item] = field(default_factory=asyncio.Queue)
    stopped: threading.Event = field(default_factory=threading.Event)
    prompt_tokens: int = 0
    reader: CallReader = field(default_factory=CallReader)

    @classmethod
    def of(cls, prompt: Prompt, max_tokens: int, seed: int | None = None) -> _Run:
        """A run of a prompt, with tools or without."""
        words = as_text(prompt)
        return cls(words, max_tokens, None if words is prompt or not max_tokens else grammar(usable(prompt)), seed)

    def put(self, item: _Item) -> None:
        """From the thread. The loop may be gone: then nobody wants it."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.items.put_nowait, item)

    def deliver(self, chunk: dict[str, Any]) -> bool:
        """Take one chunk of the stream; True to stop. There is one for every batch of the prompt, and every token."""
        if not self.stopped.is_set():
            if "prompt_progress" in chunk:
                self.put(Alive())
            for choice in chunk.get("choices") or ():
                if text := choice.get("delta", {}).get("content"):
                    items = [TextDelta(text)] if self.grammar is None else self.reader.feed(text)
                    for item in items or [Alive()]:  # amid a tool call there is nothing to show
                        self.put(item)
                if choice.get("finish_reason"):
                    for item in self.reader.finish():
                        self.put(item)
            if usage := chunk.get("usage"):
                self.prompt_tokens = usage["prompt_tokens"]
                self.put(_usage(usage))
        return self.stopped.is_set()


class LlamaModel:
    """One model for any number of calls, of which ``parallel`` compute, or have their prompts at hand, at once."""

    audio_input = False

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 2,
        context_tokens: int = 4096,
        parallel: int = 2,
        max_tokens: int = 300,
    ) -> None:
        """``context_tokens`` is for each call; ``max_tokens`` bounds a reply."""
        self._server = LlamaServer(path, threads, context_tokens, parallel)
        self._slots = Slots(parallel)
        self._window = Window(context_tokens, max_tokens)
        self._max_tokens = max_tokens
        self._generating = 0
        self._idle: list[asyncio.Future[None]] = []
        self._primes: dict[str, _Run] = {}
        self._asides: set[_Run] = set()
        self._runs: set[_Run] = set()
        self._computing: weakref.WeakSet[NativeThread] = weakref.WeakSet()
        self._closed = False

    def load(self) -> None:
        """Load and warm the model. Blocking; done by the first request when nobody did it before."""
        request = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 1, "stream": True}
        self._server.load()
        self._server.chat(request, lambda _: self._closed)

    @property
    def processor_s(self) -> float:
        """Processor time used outside of this process, seconds."""
        return self._server.processor_s

    @property
    def resident_bytes(self) -> int:
        """Memory held outside of this process, bytes."""
        return self._server.resident_bytes

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        """Stream the reply; ``audio`` is not for this model.

        A prompt that outgrows the context loses its oldest messages. After ``aclose`` the computation ends with
        the token, or the 64 tokens of prompt, it is at. A prompt in the background is answered while nothing else
        is, see ``_aside``.
        """
        if prompt.background:
            async with aclosing(self._aside(prompt)) as written:
                async for piece in written:
                    yield piece
            return
        run = _Run.of(prompt, self._bound(prompt))
        self._generating += 1
        self._give_way(prompt.conversation)
        try:
            await self._start(run)
            while (item := await run.items.get()) is not _END:
                if isinstance(item, AntiphonError):
                    raise item
                yield item
        finally:
            run.stopped.set()
            self._generating -= 1
            if not self._generating:
                self._wake()

    async def size(self, prompt: Prompt) -> Size | None:
        """The size of ``prompt``; ``None`` where no tokenizer could make too many tokens of so few bytes."""
        words = as_text(prompt)
        messages = _chat(words.system, words.messages)
        longest = sum(len(message["content"].encode()) + _TEMPLATE_TOKENS for message in messages)
        if longest + _TEMPLATE_TOKENS <= self._window.room:
            return None
        return Size(await asyncio.to_thread(self._server.count, messages), self._window.room)

    async def _aside(self, prompt: Prompt) -> AsyncGenerator[Generated]:
        """Stream the answer to a prompt that nobody waits for.

        It begins when no reply is being written, and stops when one is wanted: beside it a reply would be written at
        half the speed, or, while a prompt is read, hardly at all. Then it begins anew, with the same words, of which
        those that were given out are not given out again.
        """
        seed, given, stops = secrets.randbelow(1 << 31), 0, 0
        while True:
            async with aclosing(_alive_until(self._until_idle())) as waiting:
                async for alive in waiting:
                    yield alive
            run, written, whole = _Run.of(prompt, self._bound(prompt), seed), 0, False
            self._asides.add(run)
            try:
                async with aclosing(_alive_until(self._start(run))) as waiting:
                    async for alive in waiting:
                        yield alive
                while (item := await run.items.get()) is not _END and not run.stopped.is_set():
                    if isinstance(item, AntiphonError):
                        raise item
                    if not isinstance(item, TextDelta | ToolCall):
                        whole = isinstance(item, Usage)
                        yield item
                        continue
                    before, written = written, written + _length(item)
                    run.stubborn = stops >= _GIVES_WAY
                    if written > given:
                        yield item if before >= given else _rest(item, given - before)
                        given = written
                if whole or self._closed or not run.stopped.is_set():
                    return
                stops += bool(written)
            finally:
                run.stopped.set()
                self._asides.discard(run)

    def _bound(self, prompt: Prompt) -> int:
        """Tokens of an answer at most."""
        return self._max_tokens if prompt.output_tokens is None else min(self._max_tokens, prompt.output_tokens)

    async def prime(self, prompt: Prompt) -> None:
        """Read ``prompt`` ahead of time, whenever nothing is being generated.

        A later ``prime``, or a ``generate``, of the same conversation ends it; a ``generate`` of another one makes
        it wait. Never raises an engine's error: ``generate`` will.
        """
        conversation = prompt.conversation
        while not self._closed:
            run = _Run.of(prompt, 0)
            if (older := self._primes.get(conversation)) is not None:
                older.stopped.set()
            self._primes[conversation] = run
            try:
                await self._until_idle()
                if not run.stopped.is_set():
                    await self._start(run)
                    while await run.items.get() is not _END:
                        pass
                if self._primes.get(conversation) is not run or not run.stopped.is_set():
                    return
            finally:
                run.stopped.set()
                if self._primes.get(conversation) is run:
                    del self._primes[conversation]

    def stop(self) -> None:
        """Take no more work, and have what is computed stop at the next token, or 64 tokens of prompt."""
        self._closed = True
        for run in list(self._runs):
            run.stopped.set()

    def close(self) -> None:
        """Cut off what is computed, free the model, and wait for the threads. Blocking; safe to call twice."""
        self.stop()
        self._server.close()
        join_all(list(self._computing), JOIN_PATIENCE_S)

    def _give_way(self, conversation: str) -> None:
        """Stop all priming, that of ``conversation`` for good, and what is written in the background."""
        if (own := self._primes.pop(conversation, None)) is not None:
            own.stopped.set()
        for run in self._primes.values():
            run.stopped.set()
        has_slot = self._slots.has_room(conversation)
        for run in self._asides:
            if not (run.stubborn and has_slot):
                run.stopped.set()

    async def _until_idle(self) -> None:
        while self._generating:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _start(self, run: _Run) -> None:
        """Begin to compute, as soon as there is a slot."""
        index = await self._slots.take(run.prompt.conversation, background=run.prompt.background)
        if run.stopped.is_set() or self._closed:
            self._slots.release(index)
            if self._closed:
                run.items.put_nowait(EngineError("the language model is closed", retryable=False))
            run.items.put_nowait(_END)
            return
        self._runs.add(run)
        self._computing.add(NativeThread(f"llama-{index}", partial(self._compute, run, index)))

    def _compute(self, run: _Run, index: int) -> None:
        """What the thread of ``run`` does."""
        try:
            while not run.stopped.is_set() and not self._attempt(run, index):
                pass
        except AntiphonError as error:
            run.put(error)
        except Exception as error:
            run.put(EngineError(f"the language model failed: {type(error).__name__}"))
        finally:
            self._slots.release(index)
            self._runs.discard(run)
            run.put(_END)

    def _attempt(self, run: _Run, index: int) -> bool:
        """True, unless the prompt was too long: then less of it is to be tried."""
        messages, shortened = self._window.fit(run.prompt)
        request = {
            "messages": _chat(run.prompt.system, messages),
            "max_tokens": run.max_tokens,
            "temperature": run.prompt.temperature,
            "stop": _STOP,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,  # so that there is a chunk, and a chance to stop, for every batch of the prompt
            "cache_prompt": True,
            "id_slot": index,
            "n_cache_reuse": _REUSE_TOKENS if shortened else 0,
        }
        if run.grammar is not None:
            request["grammar"] = run.grammar
        if run.seed is not None:
            request["seed"] = run.seed
        try:
            self._server.chat(request, run.deliver)
        except ContextExceeded as error:
            self._window.overflowed(run.prompt, error.prompt_tokens)
            return False
        if run.prompt_tokens:
            self._window.counted(run.prompt, run.prompt_tokens)
        return True


def _chat(system: str, messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """What llama.cpp wants."""
    first = [{"role": "system", "content": system}] if system else []
    return first + [{"role": message.role, "content": message.text} for message in messages]


def _usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        completion_tokens=usage["completion_tokens"],
    )


def _length(item: TextDelta | ToolCall) -> int:
    return len(item.text) if isinstance(item, TextDelta) else 1


def _rest(item: TextDelta | ToolCall, start: int) -> Generated:
    return TextDelta(item.text[start:]) if isinstance(item, TextDelta) else item


async def _alive_until(work: Coroutine[Any, Any, None]) -> AsyncGenerator[Alive]:
    """Signs of life for as long as ``work`` takes."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=_ALIVE_S))[0]:
            yield Alive()
        task.result()
    finally:
        task.cancel()
