"""Which call's prompt lies in which slot of the model, and how much of a long call still fits into one."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.errors import EngineError

_REMEMBERED = 1024
_TOKENS_PER_MESSAGE = 8
"""What a chat template adds to a message, roughly."""


@dataclass(slots=True)
class _Slot:
    conversation: str | None = None
    busy: bool = False
    background: bool = False
    used: int = 0


class Slots:
    """Gives a conversation the same slot turn after turn, so that its prompt is still there.

    A new conversation takes the slot that has been idle longest; conversations in the background share one, so that
    they leave the others to the calls. Thread-safe: a slot is taken on an event loop
    and given back by the thread that computed in it.
    """

    def __init__(self, count: int) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._waiting: list[tuple[str, bool, Future[int]]] = []
        self._clock = 0
        self._lock = threading.Lock()

    async def take(self, conversation: str, *, background: bool = False) -> int:
        """The slot of ``conversation``, or a new one for it, as soon as it is free. Give it back with ``release``."""
        future: Future[int] = Future()
        with self._lock:
            self._waiting.append((conversation, background, future))
            self._assign()
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel() and not future.cancelled():
                self.release(future.result())
            raise

    def has_room(self, conversation: str) -> bool:
        """Whether the conversation would have a slot at once."""
        with self._lock:
            return self._pick(conversation, False) is not None

    def release(self, index: int) -> None:
        """The slot is free; what lies in it stays there."""
        with self._lock:
            self._slots[index].busy = False
            self._assign()

    def _assign(self) -> None:
        still_waiting = []
        for conversation, background, future in self._waiting:
            index = self._pick(conversation, background)
            if index is None:
                still_waiting.append((conversation, background, future))
            elif future.set_running_or_notify_cancel():
                self._clock += 1
                self._slots[index] = _Slot(conversation, busy=True, background=background, used=self._clock)
                future.set_result(index)
        self._waiting = still_waiting

    def _pick(self, conversation: str, background: bool) -> int | None:
        for index, slot in enumerate(self._slots):
            if slot.conversation == conversation:
                return None if slot.busy else index
        shared = [index for index, slot in enumerate(self._slots) if slot.background]
        candidates = shared if background and shared else range(len(self._slots))
        free = [index for index in candidates if not self._slots[index].busy]
        return min(free, key=lambda index: self._slots[index].used, default=None)


class Window:
    """How many of a conversation's oldest messages are left out, so that the rest fits into the context.

    When they no longer fit, so many go at once that half the context is free again: the prompt then begins the
    same way for many turns, which is what keeps it cached. Tokens are estimated from characters, at a rate learnt
    from what the model counts.
    """

    def __init__(self, context_tokens: int, reply_tokens: int) -> None:
        self._room = max(context_tokens - reply_tokens, context_tokens // 2)
        self._tokens_per_character = 0.3
        self._left_out: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """Tokens of prompt after which there is still room for a reply."""
        return self._room

    def fit(self, prompt: Prompt) -> tuple[Sequence[ChatMessage], bool]:
        """The messages to send, the newest always among them, and whether more were left out than before."""
        with self._lock:
            start = self._left_out.get(prompt.conversation, 0)
            if start >= max(1, len(prompt.messages)):
                start = 0  # the conversation began anew
            fits = self._tokens(prompt, start) <= self._room
            if not fits:
                start = self._drop(prompt, start, self._room // 2)
            self._remember(prompt.conversation, start)
            return prompt.messages[start:], not fits

    def overflowed(self, prompt: Prompt, prompt_tokens: int) -> None:
        """The model has refused what ``fit`` gave: it was ``prompt_tokens``. Raises when no more can be left out."""
        with self._lock:
            start = self._left_out.get(prompt.conversation, 0)
            if start >= len(prompt.messages) - 1:
                raise EngineError("the system prompt and the last message do not fit the context", retryable=False)
            self._learn(prompt, start, prompt_tokens)
            self._remember(prompt.conversation, self._drop(prompt, start + 1, self._room // 2))

    def counted(self, prompt: Prompt, prompt_tokens: int) -> None:
        """The model has read what ``fit`` gave: it was ``prompt_tokens``."""
        with self._lock:
            self._learn(prompt, self._left_out.get(prompt.conversation, 0), prompt_tokens)

    def _learn(self, prompt: Prompt, start: int, tokens: int) -> None:
        characters = _characters(prompt, start)
        if characters >= 200:
            overhead = _TOKENS_PER_MESSAGE * (len(prompt.messages) - start + 1)
            observed = max(0.05, (tokens - overhead) / characters)
            # Quick to believe in more tokens, slow in fewer: too many costs a little context, too few a refusal.
            weight = 1.0 if observed > self._tokens_per_character else 0.1
            self._tokens_per_character += weight * (observed - self._tokens_per_character)

    def _drop(self, prompt: Prompt, start: int, room: int) -> int:
        last = max(0, len(prompt.messages) - 1)
        while start < last and (self._tokens(prompt, start) > room or prompt.messages[start].role != "user"):
            start += 1
        return min(start, last)

    def _tokens(self, prompt: Prompt, start: int) -> float:
        messages = len(prompt.messages) - start + 1
        return _characters(prompt, start) * self._tokens_per_character + _TOKENS_PER_MESSAGE * messages

    def _remember(self, conversation: str, start: int) -> None:
        self._left_out.pop(conversation, None)
        if start:
            self._left_out[conversation] = start
            while len(self._left_out) > _REMEMBERED:
                self._left_out.popitem(last=False)


def _characters(prompt: Prompt, start: int) -> int:
    return len(prompt.system) + sum(len(message.text) for message in prompt.messages[start:])
