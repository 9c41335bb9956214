"""The worker thread behind an engine. Jobs are held by events, never by time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from antiphon.engines.threads import Priority, Worker, in_thread, join_all
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
    worker.stop()
    gate.open()
    assert job.future.cancelled()
    assert await gate.job.result() == "gate"
    with pytest.raises(EngineError, match="closed"):
        worker.submit(lambda: None)


async def test_closing_waits_for_the_thread(worker: Worker) -> None:
    gate = Gate(worker)
    assert not worker.close(0.01), "it is still at work"
    gate.open()
    assert worker.close(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]
    assert worker.close(), "twice is fine"


async def test_who_hears_of_an_outcome_holds_the_last_reference_to_the_model(worker: Worker) -> None:
    """The thread lets go of what it worked with before it gives the result away, not some time afterwards."""

    class Model:
        def answer(self, words: str) -> str:
            if words == "fail":
                raise RuntimeError(words)
            return words

    for words in ("hello", "fail"):
        model = Model()
        gone = weakref.ref(model)
        job = worker.submit(lambda model=model, words=words: model.answer(words))  # type: ignore[misc]
        del model
        held: list[bool] = []
        job.future.add_done_callback(lambda future, held=held, gone=gone: held.append(gone() is not None))  # type: ignore[misc]
        try:
            await job.result()
        except EngineError as error:
            error.__context__ = None  # the traceback is for who asked
        assert gone() is None
        assert held == [False] or words == "fail"


async def test_work_in_a_thread_of_its_own_gives_its_outcome() -> None:
    assert await in_thread("test", lambda: 3) == 3
    with pytest.raises(ModelMissing):
        await in_thread("test", missing)


async def test_who_gives_up_waiting_leaves_the_thread_to_end_by_itself() -> None:
    begun, gate = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(10)

    waiting = asyncio.create_task(in_thread("left behind", work))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    left = [thread for thread in threading.enumerate() if thread.name == "left behind"]
    assert not join_all(left, 0.01)
    gate.set()
    assert join_all(left, 10)


def missing() -> None:
    raise ModelMissing("fetch it")


LEAVING = """
import sys, threading
from antiphon.engines.threads import NativeThread, Worker, leave
worker = Worker("busy")
begun = threading.Event()
def work():
    begun.set()
    threading.Event().wait({work_s})
{start}
begun.wait()
print("on record")
leave(7, 1.0)
print("ended by itself")
sys.exit(8)
"""


@pytest.mark.parametrize(
    ("start", "work_s", "status", "output"),
    [
        ("worker.submit(work)", "0.1", 8, "on record\nended by itself\n"),
        ("worker.submit(work)", "None", 7, "on record\n"),
        ("NativeThread('load', work)", "None", 7, "on record\n"),
        ("threading.Thread(target=work).start()", "None", 7, "on record\n"),
        ("threading.Thread(target=work, daemon=True).start()", "None", 8, "on record\nended by itself\n"),
    ],
)
def test_a_process_ends_with_its_status_whatever_its_threads_do(
    start: str, work_s: str, status: int, output: str
) -> None:
    code = LEAVING.format(start=start, work_s=work_s)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (status, output, "")
