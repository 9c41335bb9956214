"""All side threads of a call: which there are, whose turn it is to generate, and what is nobody's any more.

Generations have numbers of their own. What arrives for one that is not under way is stale and is dropped in
:meth:`Threads.generating`, and nowhere else. The rules stand as a table in docs/threads.md; tests/call/test_threads.py
is made from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from antiphon.call.actions import Action, Emit
from antiphon.call.messages import CallEvent, Severity, ThreadRejected, ThreadSpawned
from antiphon.call.prompt import ChatMessage
from antiphon.call.settings import ThreadSettings
from antiphon.call.threads.invocation_ids import Claims
from antiphon.call.threads.thread import Fork, Thread, ThreadState
from antiphon.call.tools.outcomes import (
    MAIN_THREAD,
    PARENT_THREAD,
    ForcedMessage,
    Posted,
    SpawnThread,
    ToolOutcome,
    UserText,
)

LONGEST_ID = 128
"""Characters of a thread's id."""

FAILED_REMEMBERED = 1024
"""Threads that have failed and are still known."""

MOST_NOTED = 100
"""Messages to nobody that are noted as call events; the rest are dropped without."""


class Threads:
    """One call's. ``knows`` tells whether the main conversation has had an invocation of that id."""

    def __init__(self, settings: ThreadSettings, out: list[Action], knows: Callable[[str], bool]) -> None:
        self._settings = settings
        self._out = out
        self._threads: dict[str, Thread] = {}
        self._waiting: deque[Thread] = deque()
        self._running: dict[int, Thread] = {}
        self._generations = 0
        self.claims = Claims(knows)
        self._noted = 0
        self.posted: list[Posted] = []
        """What tools of threads have sent to threads, to be taken out."""

    @property
    def deadline(self) -> float | None:
        """When something is to be given up."""
        if not self._threads:
            return None
        times = [thread.deadline(self._settings.patience_s) for thread in self._threads.values()]
        return min((time for time in times if time is not None), default=None)

    def states(self) -> dict[str, dict[str, Any]]:
        """What each thread is doing, as tools are told."""
        states: dict[str, dict[str, Any]] = {}
        for name, thread in self._threads.items():
            states[name] = {"state": thread.state.value}
            if thread.state is ThreadState.IDLE and thread.last_response is not None:
                states[name]["lastResponse"] = thread.last_response
        return states

    def chat_of(self, thread_id: str) -> tuple[ChatMessage, ...]:
        """A thread's conversation; empty where it has none any more."""
        return self._threads[thread_id].chat if thread_id in self._threads else ()

    def state_of(self, thread_id: str) -> Mapping[str, Any]:
        """What the tools of a thread read and change."""
        return self._threads[thread_id].call_state if thread_id in self._threads else {}

    def find(self, thread_id: str) -> Thread | None:
        """The thread of that id, failed ones too."""
        return self._threads.get(thread_id)

    # Threads begin and end

    def spawn(self, at: float, spawn: SpawnThread, fork: Fork | None) -> None:
        """Begin a thread, unless something speaks against it. ``fork``: of its parent; ``None`` where there is none."""
        reason = self._objection(spawn)
        if fork is None:
            parent = self._threads.get(spawn.parent)
            reason = reason or f"the parent thread {spawn.parent!r} {'has failed' if parent else 'does not exist'}"
        if reason is not None or fork is None:
            self._out.append(Emit(ThreadRejected(spawn.thread, reason or "")))
            self._note(Severity.WARNING, "thread.rejected", reason or "", spawn.thread)
            return
        self._remove(spawn.thread, "replaced by a new thread of the same id")
        self._forget_failed()
        thread = self._threads[spawn.thread] = Thread(spawn, fork, self._out, self.posted, self.claims)
        self._out.append(Emit(ThreadSpawned(spawn.thread)))
        self._note(Severity.INFO, "thread.spawned", f"A thread was spawned from {spawn.parent!r}.", spawn.thread)
        for message in spawn.messages:
            if not thread.failed:
                thread.receive(at, message)

    def cancel_all(self, reason: str) -> None:
        """End them all."""
        for name in list(self._threads):
            self._remove(name, reason)

    def _remove(self, name: str, reason: str) -> None:
        if (thread := self._threads.pop(name, None)) is not None:
            thread.cancel(reason)

    def _forget_failed(self) -> None:
        failed = [name for name, thread in self._threads.items() if thread.failed]
        for name in failed[: max(0, len(failed) - FAILED_REMEMBERED)]:
            del self._threads[name]

    def _objection(self, spawn: SpawnThread) -> str | None:
        existing = self._threads.get(spawn.thread)
        if spawn.thread in (MAIN_THREAD, PARENT_THREAD):
            return f"newThreadId: {spawn.thread!r} is not an id that a new thread can have"
        if not 1 <= len(spawn.thread) <= LONGEST_ID:
            return f"newThreadId: expected 1 to {LONGEST_ID} characters"
        if existing is not None and not spawn.replaces:
            return f"a thread with the id {spawn.thread!r} already exists"
        live = sum(not thread.failed for thread in self._threads.values() if thread is not existing)
        if live >= self._settings.most:
            return f"the call has {live} threads, which is the most it can have"
        forced = [(index, one) for index, one in enumerate(spawn.messages) if isinstance(one, ForcedMessage)]
        for index, message in forced[:-1]:
            if any(want.invocation not in message.known for want in message.wants):
                return (
                    f"additionalMessages.{index}: only the last forced_agent_message may have toolCalls without "
                    "knownToolResults"
                )
        return None

    # What comes to them

    def receive(self, at: float, message: UserText | ForcedMessage) -> None:
        """A message for a side thread."""
        thread = self._threads.get(message.thread)
        if thread is not None and not thread.failed:
            thread.receive(at, message)
            return
        self._noted += 1
        if self._noted <= MOST_NOTED:
            kind, what = ("failed_thread", "has failed") if thread else ("non_existent_thread", "does not exist")
            text = f"A message was sent to the thread {message.thread[:LONGEST_ID]!r}, which {what}."
            self._note(Severity.WARNING, f"thread_comms.{kind}", text, message.thread)

    def generating(self, generation: int) -> Thread | None:
        """Whose generation that is, if it is under way."""
        thread = self._running.get(generation)
        current = thread.generation if thread is not None else None
        return thread if current is not None and current.number == generation else None

    def returned(self, at: float, invocation: str, outcome: ToolOutcome) -> bool:
        """Something has come of a tool; ``False``: it was no thread's."""
        for thread in self._threads.values():
            if invocation in thread.uses and thread.returned(at, invocation, outcome):
                return True
        if self.claims.has(invocation) and self.claims.wanted(invocation):
            text = "A result came for an invocation that is over; it is ignored."
            self._note(Severity.WARNING, "tool_result_late", text, None)
        return self.claims.has(invocation)

    # Time

    def advance(self, at: float) -> None:
        """Let those generate whose turn it is, in the order in which they came to want it."""
        if not self._threads:
            return  # as in nearly all calls, with every frame
        if not self._threads:
            self._running.clear()
            self._waiting.clear()
            return
        self._running = {number: thread for number, thread in self._running.items() if self.generating(number)}
        self._waiting = deque(thread for thread in self._waiting if self._wants(thread))
        self._waiting += [one for one in self._threads.values() if self._wants(one) and one not in self._waiting]
        while self._waiting and len(self._running) < self._settings.at_once:
            thread = self._waiting.popleft()
            self._generations += 1
            thread.generate(at, self._generations)
            if thread.generation is not None:
                self._running[self._generations] = thread

    def give_up(self, now: float) -> None:
        """Whoever has given no sign of life by now gives none any more."""
        for thread in list(self._threads.values()):
            thread.give_up(now, self._settings.patience_s)

    def _wants(self, thread: Thread) -> bool:
        return thread.wants_generation and self._threads.get(thread.thread_id) is thread

    def _note(self, severity: Severity, kind: str, text: str, thread_id: str | None) -> None:
        extras = {} if thread_id is None else {"thread_id": thread_id[:LONGEST_ID]}
        self._out.append(Emit(CallEvent(severity, kind, text, extras)))
