"""What the front decides, without any process: who gets a connection, and what an operator is told."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from antiphon.config.config import Config
from antiphon.lifecycle.admission import Reading
from antiphon.process.balancer import FRESH_S, SILENT_S, Worker
from antiphon.process.ipc import Bury, Channel, Connected, Failed, Peers, Report
from antiphon.process.supervisor import memory_warning
from tests.support.server_fixtures import SCRIPTED
from tests.test_cli import antiphon, complains


def worker(live: int, *, ready: bool = True, full: bool = False, busy: float = 0.1) -> Worker:
    nobody: Any = None
    return Worker(live, nobody, nobody, True, Report(ready, full, Reading(live, 0, 0, busy, 0.0)), 100.0)


def test_the_worker_with_the_fewest_calls_gets_the_next_connection() -> None:
    few, many = worker(2), worker(5)
    assert few.weight(100.0) < many.weight(100.0)
    few.fresh.extend([99.9] * 4)
    assert many.weight(100.0) < few.weight(100.0), "what was handed over a moment ago counts before it is a call"
    assert few.weight(100.0 + FRESH_S) < many.weight(100.0 + FRESH_S)


def test_a_worker_that_cannot_is_the_last_to_be_asked() -> None:
    best, busy, full, loading = worker(3), worker(3, busy=0.5), worker(1, full=True), worker(2, ready=False)
    stuck = worker(1)
    stuck.reported -= SILENT_S + 0.1
    nobody: Any = None
    silent = Worker(9, nobody, nobody, True)
    order = sorted((silent, loading, stuck, full, busy, best), key=lambda each: each.weight(100.0))
    assert order == [best, busy, full, stuck, loading, silent]


def test_an_operator_is_told_what_several_workers_cost() -> None:
    assert memory_warning(Config.model_validate({**SCRIPTED, "workers": 2})) is None
    line = memory_warning(Config(workers=3))
    assert line is not None
    assert "3 workers" in line
    assert "Whisper" in line
    assert "language model" in line
    own = {**SCRIPTED, "transcriber": {"engine": "whisper"}, "workers": 2}
    assert "language model" not in (memory_warning(Config.model_validate(own)) or "language model")


async def test_messages_come_whole_and_a_connection_with_its_own() -> None:
    got: list[tuple[object, socket.socket | None]] = []
    lost = asyncio.Event()
    ours, theirs = Channel.pair()
    here = Channel(ours, lambda *_: None, lambda: None)
    there = Channel(theirs, lambda message, connection: got.append((message, connection)), lost.set)
    there.open()
    near, far = socket.socketpair()
    with near, far:
        assert here.send(Bury(3))
        assert here.send(Connected(), far)
        assert here.send(Peers((Reading(1, 2, 3, 0.5, 0.01),)))
        here.close()
        await asyncio.wait_for(lost.wait(), 5)
        assert not there.send(Failed("too late"))
        assert not here.send(Bury(4))
        assert [message for message, _ in got] == [Bury(3), Connected(), Peers((Reading(1, 2, 3, 0.5, 0.01),))]
        handed = got[1][1]
        assert handed is not None
        with handed:
            handed.send(b"x")
            assert near.recv(1) == b"x"
            assert not os.get_inheritable(handed.fileno())
        assert [connection for message, connection in got if message != Connected()] == [None, None]


async def test_an_end_that_reads_nothing_does_not_stop_the_other() -> None:
    ours, theirs = Channel.pair()
    with theirs:
        here = Channel(ours, lambda *_: None, lambda: None)
        sent = 0
        while here.send(Failed("x" * 1000)) and sent < 10_000:
            sent += 1
        assert 10 < sent < 10_000
        here.close()


async def test_a_server_whose_workers_cannot_start_ends_with_one_line(tmp_path: Path) -> None:
    arguments = ("serve", "--workers", "2", "--port", "0", "--data-dir", tmp_path / "data")
    complains(await antiphon(*arguments, ANTIPHON_MODELS=str(tmp_path / "none")), "antiphon models pull")
    config = tmp_path / "antiphon.toml"
    config.write_text('database_url = "postgresql://me@127.0.0.1:1/calls"\n')
    complains(await antiphon(*arguments, "--config", config), "cannot open the database")
    config.write_text("workers = 0\n")
    complains(await antiphon("serve", "--config", config), "workers", "greater than or equal to 1")


async def test_a_port_in_use_and_a_folder_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        complains(await antiphon("serve", "--workers", "2", "--port", port, "--data-dir", tmp_path), port, "--port")
    ran = await antiphon("serve", "--workers", "2", "--port", "0", "--data-dir", "/proc/nowhere")
    complains(ran, "cannot write /proc/nowhere", "--data-dir")


@pytest.mark.parametrize("workers", [0, 65])
def test_there_are_1_to_64_workers(workers: int) -> None:
    with pytest.raises(ValueError, match="workers"):
        Config(workers=workers)
