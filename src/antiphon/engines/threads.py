"""Threads that run a model's native code, and the worker that does one thing at a time in one, the urgent first.

The interpreter must not be finalized while one of them computes: a thread that comes back from C++ then is killed amid
its frames, which ends the process by SIGABRT or SIGSEGV. Hence every such thread is made here, engines wait for theirs
when they are closed, and a process ends by :func:`leave`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from antiphon.errors import AntiphonError, EngineError

T = TypeVar("T")

JOIN_PATIENCE_S = 10.0
"""For what a thread is at to end. An answer of Whisper, or 64 tokens of a prompt, take seconds on a busy machine."""

LEAVE_PATIENCE_S = 2.0
"""For threads that nobody waited for, when the process ends."""


class NativeThread(threading.Thread):
    """A daemon thread that may be in native code. Started when made; known to :func:`leave` until it has ended."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        super().__init__(target=work, name=name, daemon=True)
        _threads.add(self)
        self.start()


_threads: weakref.WeakSet[NativeThread] = weakref.WeakSet()


def join_all(threads: Iterable[threading.Thread], patience_s: float) -> bool:
    """Wait for threads to end, for so long at most in all. Return whether all have. Blocking."""
    until = time.monotonic() + patience_s
    waited_for = [thread for thread in threads if thread is not threading.current_thread()]
    for thread in waited_for:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in waited_for)


async def in_thread(name: str, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread of its own and wait for it. Cancelling the wait leaves the thread to :func:`leave`.

    Unlike ``asyncio.to_thread`` the end of the event loop does not wait for it, however long it takes.
    """
    job = Job(work, Priority.ASKED)
    NativeThread(name, job.do)
    return await asyncio.wrap_future(job.future)


def leave(status: int, patience_s: float = LEAVE_PATIENCE_S) -> None:
    """Return when the interpreter can be finalized; where a thread does not come back, end the process here.

    Call it last, when everything is on record and closed. It looks at all threads that the interpreter would wait for
    or crash on, whoever started them.
    """
    _stop_workers()
    waited_for = [thread for thread in threading.enumerate() if thread in _threads or not thread.daemon]
    if not join_all([thread for thread in waited_for if thread is not threading.main_thread()], patience_s):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


@atexit.register
def _at_exit() -> None:
    """Give programs that do not end by :func:`leave` the chance to end well."""
    _stop_workers()
    join_all(list(_threads), LEAVE_PATIENCE_S)


def _stop_workers() -> None:
    for worker in list(_workers):
        worker.stop()


class Priority(IntEnum):
    """Which job goes first; among equals, the one that came first."""

    ASKED = 0
    """somebody waits for it"""
    AHEAD = 1
    """done ahead of need"""


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """One thing for a worker to do. ``future`` has its outcome; cancelling it before it starts drops the job."""

    work: Callable[[], T] | None
    priority: Priority
    future: Future[T] = field(default_factory=Future)
    _waiting: int = 0
    _abandoned: bool = False

    def do(self, name: str | None = None) -> None:
        """Do it, in the thread that is to. Under a ``name``, an error that is not ours becomes an ``EngineError``."""
        work, self.work = self.work, None  # who keeps the job for its outcome does not keep the model
        if work is None or not self.future.set_running_or_notify_cancel():
            return
        failure: Exception | None = None
        try:
            outcome = work()
        except AntiphonError as error:
            failure = error
        except Exception as error:
            failure = error if name is None else EngineError(f"{name} failed: {error}")
        del work  # before anybody hears of the outcome: this thread must not be the last to hold a model
        if failure is None:
            self.future.set_result(outcome)
        else:
            self.future.set_exception(failure)

    async def result(self) -> T:
        """Wait for the outcome, on the event loop. Cancelling the wait leaves the job to others who wait for it."""
        self._waiting += 1
        try:
            return await asyncio.shield(asyncio.wrap_future(self.future))
        finally:
            self._waiting -= 1
            self._drop_unwanted()

    def abandon(self) -> None:
        """Nobody will ask for it again: drop it, unless it has begun, as soon as nobody waits for it."""
        self._abandoned = True
        self._drop_unwanted()

    def _drop_unwanted(self) -> None:
        if self._abandoned and not self._waiting:
            self.future.cancel()


class Worker:
    """One thread. ``submit`` from anywhere; any error of a job becomes an :class:`EngineError`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: list[Job[object]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: NativeThread | None = None
        _workers.add(self)

    def submit(self, work: Callable[[], T], priority: Priority = Priority.ASKED) -> Job[T]:
        """Queue ``work``. Raises :class:`EngineError` when the worker has been closed."""
        job = Job(work, priority)
        with self._changed:
            if self._closed:
                raise EngineError(f"{self._name} is closed", retryable=False)
            self._jobs.append(job)  # type: ignore[arg-type]  # the queue does not look at results
            if self._thread is None:
                self._thread = NativeThread(self._name, self._run)
            self._changed.notify()
        return job

    async def run(self, work: Callable[[], T], priority: Priority = Priority.ASKED) -> T:
        """Do ``work`` in the thread. Cancelled before it starts, it is not done at all."""
        return await asyncio.wrap_future(self.submit(work, priority).future)

    def promote(self, job: Job[T]) -> None:
        """Somebody now waits for ``job``."""
        with self._changed:
            job.priority = Priority.ASKED

    def stop(self) -> None:
        """Drop what has not started; the thread ends after what it is doing. Safe to call twice."""
        with self._changed:
            self._closed = True
            dropped, self._jobs = self._jobs, []
            self._changed.notify()
        for job in dropped:
            job.work = None
            job.future.cancel()

    def close(self, patience_s: float = JOIN_PATIENCE_S) -> bool:
        """Stop, and wait for the thread to end. Return whether it has. Blocking; safe to call twice."""
        self.stop()
        return self._thread is None or join_all([self._thread], patience_s)

    def _next(self) -> Job[object] | None:
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if not self._jobs:
                return None
            job = min(self._jobs, key=lambda waiting: waiting.priority)  # the first of the most urgent
            self._jobs.remove(job)
            return job

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.do(self._name)
            del job  # a waiting thread must not keep the last result alive


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
