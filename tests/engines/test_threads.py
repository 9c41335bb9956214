"""The worker thread behind an engine. Jobs are held by events, never by time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from antiphon.engines.threads import Priority, Worker
from antiphon.errors import EngineError, ModelMissing


@pytest.fixture
def worker() -> Iterator[Worker]:
    thread = Worker("test")
    yield thread
    thread.close()


class Gate:
    """A job that keeps the worker busy until it is opened."""

    def __init__(self, worker: Worker) -> None:
        self._begun, self._open = threading.Event(), threading.Event()
        self.job = worker.submit(self._wait)
        assert self._begun.wait(10)

    def _wait(self) -> str:
        self._begun.set()
        assert self._open.wait(10)
        return "gate"

    def open(self) -> None:
        self._open.set()


async def test_what_is_asked_for_goes_before_what_is_done_ahead(worker: Worker) -> None:
    done: list[str] = []
    gate = Gate(worker)
    jobs = [
        worker.submit(lambda: done.append("ahead 1"), Priority.AHEAD),
        worker.submit(lambda: done.append("asked 1")),
        worker.submit(lambda: done.append("asked 2")),
    ]
    late = worker.submit(lambda: done.append("promoted"), Priority.AHEAD)
    worker.promote(late)
    gate.open()
    for job in [*jobs, late]:
        await job.result()
    assert done == ["asked 1", "asked 2", "promoted", "ahead 1"]


async def test_an_abandoned_job_is_not_done(worker: Worker) -> None:
    done: list[str] = []
    gate = Gate(worker)
    stale = worker.submit(lambda: done.append("stale"))
    stale.abandon()
    fresh = worker.submit(lambda: done.append("fresh"))
    gate.open()
    await fresh.result()
    assert done == ["fresh"]


async def test_an_abandoned_job_that_somebody_waits_for_is_done(worker: Worker) -> None:
    gate = Gate(worker)
    job = worker.submit(lambda: "words")
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    job.abandon()
    gate.open()
    assert await waiting == "words"


async def test_an_abandoned_job_goes_with_the_last_who_waited(worker: Worker) -> None:
    gate = Gate(worker)
    job = worker.submit(lambda: "words")
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    job.abandon()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert job.future.cancelled()
    gate.open()
    assert await gate.job.result() == "gate"


async def test_giving_up_the_wait_leaves_the_job_to_others(worker: Worker) -> None:
    gate = Gate(worker)
    job = worker.submit(lambda: "words")
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    waiting.cancel()
    gate.open()
    assert await job.result() == "words"


async def test_errors_come_out_as_engine_errors(worker: Worker) -> None:
    def broken() -> None:
        raise RuntimeError("out of order")

    def missing() -> None:
        raise ModelMissing("fetch it")

    with pytest.raises(EngineError, match="test failed: out of order"):
        await worker.run(broken)
    with pytest.raises(ModelMissing):
        await worker.run(missing)
    assert await worker.run(lambda: 1) == 1


async def test_closing_drops_what_has_not_begun(worker: Worker) -> None:
    gate = Gate(worker)
    job = worker.submit(lambda: "never")
    worker.close()
    gate.open()
    assert job.future.cancelled()
    assert await gate.job.result() == "gate"
    with pytest.raises(EngineError, match="closed"):
        worker.submit(lambda: None)
