"""``antiphon serve --workers N``: the port, and the processes that serve whoever connects to it.

The front accepts connections and hands each to the worker with the least to do; it reads nothing of what is on them.
It starts the workers, and others in place of those that die, and stops them in order. No worker's number is used twice,
so that what belongs to a dead one is never taken for what belongs to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import shutil
import signal
import socket
import sys
from typing import Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

from antiphon.api.worker_sockets import METRICS
from antiphon.config import logs
from antiphon.config.config import Config, with_environment
from antiphon.engines.condition import EngineState, merged
from antiphon.engines.settings import LlamaSettings, WhisperSettings
from antiphon.errors import DataFolderError, SetupError
from antiphon.process.balancer import SILENT_S, Worker
from antiphon.process.ipc import (
    Buried,
    Bury,
    Channel,
    Connected,
    Deleted,
    Failed,
    Joined,
    Loaded,
    Orders,
    Peers,
    Report,
    Serving,
    Stop,
)
from antiphon.process.listener import address, listen
from antiphon.process.signals import Signals
from antiphon.process.startup import data_folder, greeting, say
from antiphon.process.stopping import waiting_line

FOLDER = "workers"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
GOOD_LIFE_S = 60.0
"""A worker that lived for so long is replaced at once again."""

MOST_FAILED_STARTS = 5
"""In a row, before any worker was ever ready, after which the server gives up."""

STOP_PATIENCE_S = 40.0
"""For a worker to end once its calls are to end: calls 15 s, connections 5 s, engines 12 s, and some spare."""

BROADCAST_EVERY_S = 0.1
ACCEPT_AGAIN_S = 0.05
ACCEPTED_AT_ONCE = 64

_log = structlog.get_logger(__name__)


def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises :class:`SetupError`, one plain line with the way out."""
    logs.configure(config.log)
    with contextlib.closing(listen(config.host, config.port)) as sock, data_folder(config) as locks:
        if (line := memory_warning(config)) is not None:
            _log.warning(line)
        with Signals() as signals:
            asyncio.run(Supervisor(config, sock, locks).run(signals))


def memory_warning(config: Config) -> str | None:
    """What an operator should know who has several workers load large models; ``None``: nothing."""
    engines = (config.transcriber, *config.transcribers.values(), *config.models.values())
    large = {type(engine): name for engine in engines if (name := _LARGE.get(type(engine))) is not None}
    if not large:
        return None
    what = " and ".join(sorted(large.values()))
    return f"each of the {config.workers} workers loads {what} for itself, about 2 GB each with the default models"


_LARGE: dict[type, str] = {LlamaSettings: "its language model", WhisperSettings: "Whisper"}


class Supervisor:
    """Runs the workers of a server."""

    def __init__(self, config: Config, listener: socket.socket, locks: tuple[int, ...] = ()) -> None:
        self._config = config
        self._locks = locks
        self._listener = listener
        self._folder = config.data_dir / FOLDER
        self._workers: dict[int, Worker] = {}
        self._graves: dict[int, int | None] = {}
        """Workers that are gone and whose calls may not be ended on record yet, and who sees to that."""
        self._started = 0
        self._failed_starts = 0
        self._was_ready = False
        self._greeted = False
        self._opened = asyncio.Event()
        """The first worker serves: what a former server left is in order."""
        self._ending = asyncio.Event()
        self._at_once = asyncio.Event()
        """Live calls are to go on no longer."""
        self._failure: str | None = None
        self._accepting = False
        self._telling: asyncio.TimerHandle | None = None

    async def run(self, signals: Signals) -> None:
        """Serve until a signal, and until live calls have ended. Raises :class:`SetupError` where no worker can."""
        self._make_folder()
        signals.on_kill = self._kill_all
        signals.tell(self._signalled)
        tending = [asyncio.create_task(self._tend(place)) for place in range(self._config.workers)]
        try:
            await self._ending.wait()
        finally:
            await self._stop(tending)
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._failure is not None:
            raise SetupError(self._failure)

    def _make_folder(self) -> None:
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
            (self._folder / METRICS).mkdir()
        except OSError as error:
            raise DataFolderError(f"cannot write {self._folder}: {error.strerror}; choose another --data-dir") from None

    @property
    def _url(self) -> str:
        return address(self._listener, self._config.host)

    # Workers

    async def _tend(self, place: int) -> None:
        """Keep a worker running, one after the other."""
        if place:
            await self._either(self._opened)
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while not self._ending.is_set():
            born = loop.time()
            worker = await self._start()
            if self._ending.is_set():
                self._bid_stop(worker)
            code = await worker.process.wait()
            self._gone(worker, code)
            if self._ending.is_set():
                return
            _log.error("worker_gone", worker=worker.number, exit_code=code)
            if not self._was_ready:
                self._failed_starts += 1
                if self._failed_starts >= MOST_FAILED_STARTS:
                    self._fail(f"the workers end before they are ready, with exit code {code}; see what they wrote")
                    return
            if loop.time() - born >= GOOD_LIFE_S:
                pause_s = FIRST_PAUSE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _either(self, event: asyncio.Event) -> None:
        """Wait for ``event``, or for the end."""
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self._ending)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _start(self) -> Worker:
        self._started += 1
        number, first = self._started, not self._opened.is_set()
        ours, theirs = Channel.pair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "antiphon.process.worker", str(theirs.fileno())),
                pass_fds=[theirs.fileno(), *self._locks],
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is for us alone
                env=with_environment(PROMETHEUS_MULTIPROC_DIR=str(self._folder / METRICS)),
            )
        channel = Channel(ours, lambda message, _: self._told(worker, message), lambda: self._silent(worker))
        makes_key = not self._greeted and not any(other.makes_key for other in self._workers.values())
        worker = self._workers[number] = Worker(number, process, channel, makes_key=makes_key)
        channel.open()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead already
            process.stdin.write(pickle.dumps(Orders(self._config, number, first, makes_key, self._folder)))
            await process.stdin.drain()
        process.stdin.close()
        return worker

    def _told(self, worker: Worker, message: object) -> None:
        match message:
            case Report():
                worker.tells(message, asyncio.get_running_loop().time())
                self._was_ready |= message.ready
                self._tell_soon()
            case Serving():
                worker.serving = True
                if not self._opened.is_set():
                    self._opened.set()
                    _log.info("listening", url=self._url)
                self._dig()
                self._accept_again()
            case Loaded(first_key):
                self._greeted = True
                say(greeting(self._url, first_key))
            case Joined() | Deleted():
                for other in self._workers.values():
                    if other is not worker:
                        other.channel.send(message)
            case Buried(number):
                self._graves.pop(number, None)
            case Failed(line) if self._was_ready:
                _log.error("worker_failed", worker=worker.number, reason=line)
            case Failed(line):
                self._fail(line)

    def _silent(self, worker: Worker) -> None:
        """It is dying; its process is waited for elsewhere."""
        worker.serving = False

    def _gone(self, worker: Worker, code: int) -> None:
        worker.channel.drain()  # its last words
        worker.channel.close()
        worker.serving = False
        del self._workers[worker.number]
        mark_process_dead(worker.process.pid, str(self._folder / METRICS))  # type: ignore[no-untyped-call]
        self._tell_soon()
        if code or not self._ending.is_set():  # else it has ended its calls itself
            self._graves[worker.number] = None
            self._dig()

    def _dig(self) -> None:
        """Have somebody end the calls of each worker that is gone."""
        serving = [worker for worker in self._workers.values() if worker.serving]
        for gone, digger in self._graves.items():
            if digger not in self._workers and serving:
                self._graves[gone] = serving[0].number
                serving[0].channel.send(Bury(gone))

    def _tell_soon(self) -> None:
        """Let every worker know how the others are."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(BROADCAST_EVERY_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        now = asyncio.get_running_loop().time()
        readings = {
            worker.number: worker.report.reading
            for worker in self._workers.values()
            if worker.report is not None and worker.can_serve(now)
        }
        for worker in self._workers.values():
            others = tuple(readings[number] for number in readings if number != worker.number)
            worker.channel.send(Peers(others, self._known_to_others(worker)))
            if worker.was_ready and not worker.silent and now - worker.reported > SILENT_S:
                worker.silent = True
                _log.error("worker_silent", worker=worker.number)

    def _known_to_others(self, worker: Worker) -> tuple[EngineState, ...]:
        """How the engines are doing, as the other workers find; nothing while all do well everywhere."""
        reports = {one.number: one.report.engines for one in self._workers.values() if one.report is not None}
        if not any(state.failures for report in reports.values() for state in report):
            return ()
        return tuple(merged(report for number, report in reports.items() if number != worker.number).values())

    # Connections

    def _accept_again(self) -> None:
        if not self._accepting and self._listener.fileno() != -1:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept_later(self) -> None:
        """Connections wait in the kernel meanwhile."""
        self._accepting = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener.fileno())
        loop.call_later(ACCEPT_AGAIN_S, self._accept_again)

    def _accept(self) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(ACCEPTED_AT_ONCE):
            serving = sorted((w for w in self._workers.values() if w.serving), key=lambda worker: worker.weight(now))
            if not serving:
                self._accept_later()
                return
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if not isinstance(error, ConnectionError):
                    _log.error("accepting_failed", error=error.strerror)
                    self._accept_later()
                return
            with connection:
                for worker in serving:
                    if worker.channel.send(Connected(), connection):
                        worker.fresh.append(now)
                        break
                else:
                    _log.error("connection_refused", reason="no worker reads what the front sends")

    # The end

    def _signalled(self, number: int) -> None:
        if number == 1:
            live = sum(worker.report.reading.live for worker in self._workers.values() if worker.report is not None)
            if live and self._config.shutdown.drain_s:
                _log.warning(waiting_line(live, self._config.shutdown.drain_s))
            self._ending.set()
            return
        self._at_once.set()
        for worker in self._workers.values():
            self._bid_stop(worker)
            if worker.silent:  # it does not read what it is bidden
                _kill(worker, signal.SIGKILL)

    def _kill_all(self) -> None:
        for worker in self._workers.values():
            _kill(worker, signal.SIGKILL)

    def _fail(self, line: str) -> None:
        if not self._ending.is_set():
            self._failure = line
            self._at_once.set()
            self._ending.set()

    def _bid_stop(self, worker: Worker) -> None:
        if worker.serving:
            worker.channel.send(Stop(self._at_once.is_set()))
        else:  # it has no calls, and may read nothing for a while yet
            _kill(worker, signal.SIGTERM)

    async def _stop(self, tending: list[asyncio.Task[None]]) -> None:
        """Let every worker end with its calls. Connections are handed on until then: live calls are asked about."""
        self._ending.set()
        for worker in self._workers.values():
            self._bid_stop(worker)
        gone: asyncio.Future[Any] = asyncio.ensure_future(asyncio.wait(tending))
        hurried: asyncio.Future[Any] = asyncio.ensure_future(self._at_once.wait())
        patience_s = self._config.shutdown.drain_s + STOP_PATIENCE_S
        await asyncio.wait([gone, hurried], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([gone], timeout=STOP_PATIENCE_S if hurried.done() else 0)
        hurried.cancel()
        for worker in self._workers.values():
            _log.error("worker_does_not_stop", worker=worker.number)
            _kill(worker, signal.SIGKILL)
        await gone
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        if self._telling is not None:
            self._telling.cancel()


def _kill(worker: Worker, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.process.send_signal(signum)
