"""A worker thread for a model: what is asked of it is done one thing at a time, the urgent first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from antiphon.errors import AntiphonError, EngineError

T = TypeVar("T")


class Priority(IntEnum):
    """Which job goes first; among equals, the one that came first."""

    ASKED = 0
    """somebody waits for it"""
    AHEAD = 1
    """done ahead of need"""


@dataclass(eq=False, slots=True)
class Job(Generic[T]):
    """One thing for a worker to do. ``future`` has its outcome; cancelling it before it starts drops the job."""

    work: Callable[[], T]
    priority: Priority
    future: Future[T] = field(default_factory=Future)
    _waiting: int = 0
    _abandoned: bool = False

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
    """One daemon thread. ``submit`` from anywhere; any error of a job becomes an :class:`EngineError`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: list[Job[object]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T], priority: Priority = Priority.ASKED) -> Job[T]:
        """Queue ``work``. Raises :class:`EngineError` when the worker has been closed."""
        job = Job(work, priority)
        with self._changed:
            if self._closed:
                raise EngineError(f"{self._name} is closed", retryable=False)
            self._jobs.append(job)  # type: ignore[arg-type]  # the queue does not look at results
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()
        return job

    async def run(self, work: Callable[[], T], priority: Priority = Priority.ASKED) -> T:
        """Do ``work`` in the thread. Cancelled before it starts, it is not done at all."""
        return await asyncio.wrap_future(self.submit(work, priority).future)

    def promote(self, job: Job[T]) -> None:
        """Somebody now waits for ``job``."""
        with self._changed:
            job.priority = Priority.ASKED

    def close(self) -> None:
        """Drop what has not started, and end the thread after what it is doing. Safe to call twice."""
        with self._changed:
            self._closed = True
            dropped, self._jobs = self._jobs, []
            self._changed.notify()
        for job in dropped:
            job.future.cancel()

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
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                outcome = job.work()
            except AntiphonError as error:
                job.future.set_exception(error)
            except Exception as error:
                job.future.set_exception(EngineError(f"{self._name} failed: {error}"))
            else:
                job.future.set_result(outcome)
            del job  # a waiting thread must not keep the last result alive
