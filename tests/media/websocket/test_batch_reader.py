"""Sockets that are read together: real ones, in pairs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from antiphon.media.websocket.batch_reader import BatchReader


class Pairs:
    """Pairs of connected sockets, of which one end is gathered, and what was read there, in order."""

    def __init__(self, batch_reader: BatchReader) -> None:
        self.batch_reader = batch_reader
        self.heard: list[tuple[int, bytes]] = []
        self._open: list[socket.socket] = []

    def make(self) -> tuple[socket.socket, socket.socket]:
        """The gathered end, and the other."""
        near, far = socket.socketpair()
        near.setblocking(False)
        self._open += [near, far]
        assert self.batch_reader.add(near.fileno(), self.reader(near.fileno()))
        return near, far

    def reader(self, descriptor: int) -> Callable[[], None]:
        return lambda: self.heard.append((descriptor, os.read(descriptor, 1000)))

    def close(self) -> None:
        for end in self._open:
            end.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    batch_reader = BatchReader()
    with contextlib.closing(batch_reader), contextlib.closing(Pairs(batch_reader)) as pairs:
        yield pairs


def test_nothing_is_read_before_the_beat_and_only_what_has_come_then(pairs: Pairs) -> None:
    near, far = pairs.make()
    pairs.make()
    pairs.batch_reader.take_in()
    assert pairs.heard == []
    far.send(b"one")
    assert pairs.heard == []
    pairs.batch_reader.take_in()
    pairs.batch_reader.take_in()
    assert pairs.heard == [(near.fileno(), b"one")]


def test_what_was_left_unread_is_there_at_the_next_beat(pairs: Pairs) -> None:
    _, far = pairs.make()
    far.send(b"x" * 1500)
    pairs.batch_reader.take_in()
    pairs.batch_reader.take_in()
    assert [len(data) for _, data in pairs.heard] == [1000, 500]


def test_all_of_many_sockets_are_read_at_one_beat(pairs: Pairs) -> None:
    ends = [pairs.make() for _ in range(200)]
    assert len(pairs.batch_reader) == 200
    for number, (_, far) in enumerate(ends):
        far.send(b"%d" % number)
    pairs.batch_reader.take_in()
    assert sorted(pairs.heard) == sorted((near.fileno(), b"%d" % number) for number, (near, _) in enumerate(ends))


def test_one_that_was_removed_is_not_read(pairs: Pairs) -> None:
    near, far = pairs.make()
    other, far_other = pairs.make()
    far.send(b"one")
    far_other.send(b"two")
    pairs.batch_reader.remove(near.fileno())
    pairs.batch_reader.remove(near.fileno())  # unknown by now
    pairs.batch_reader.remove(12_345)
    pairs.batch_reader.take_in()
    assert pairs.heard == [(other.fileno(), b"two")]
    assert len(pairs.batch_reader) == 1


def test_one_that_another_removed_at_the_same_beat_is_not_read(pairs: Pairs) -> None:
    ends = [pairs.make() for _ in range(2)]
    numbers = [near.fileno() for near, _ in ends]
    read: list[int] = []

    def alone(here: int) -> Callable[[], None]:
        def taken() -> None:
            read.append(here)
            for number in numbers:
                if number != here:
                    pairs.batch_reader.remove(number)

        return taken

    for number, (_, far) in zip(numbers, ends, strict=True):
        pairs.batch_reader.remove(number)
        assert pairs.batch_reader.add(number, alone(number))
        far.send(b"x")
    pairs.batch_reader.take_in()
    assert len(read) == 1
    pairs.batch_reader.take_in()
    assert read == [read[0]] * 2  # its own socket still has something, the other's is not asked


def test_a_socket_may_remove_itself_while_it_is_read(pairs: Pairs) -> None:
    near, far = socket.socketpair()
    with near, far:
        read: list[bytes] = []

        def last() -> None:
            read.append(near.recv(10))
            pairs.batch_reader.remove(near.fileno())

        pairs.batch_reader.add(near.fileno(), last)
        far.send(b"one")
        pairs.batch_reader.take_in()
        far.send(b"two")
        pairs.batch_reader.take_in()
        assert read == [b"one"]
        assert len(pairs.batch_reader) == 0


def test_the_number_of_a_removed_socket_serves_the_next(pairs: Pairs) -> None:
    numbers = set()
    for turn in range(50):
        near, far = pairs.make()
        numbers.add(near.fileno())
        far.send(b"%d" % turn)
        pairs.batch_reader.take_in()
        assert pairs.heard[-1] == (near.fileno(), b"%d" % turn)
        pairs.batch_reader.remove(near.fileno())
        near.close()
        far.close()
    assert len(numbers) < 50, "no number came twice"
    assert len(pairs.heard) == 50
    assert len(pairs.batch_reader) == 0


def test_one_that_was_closed_before_it_was_removed_harms_nobody(pairs: Pairs) -> None:
    near, far = pairs.make()
    _, far_other = pairs.make()
    number = near.fileno()
    near.close()
    far.close()
    far_other.send(b"two")
    pairs.batch_reader.take_in()
    pairs.batch_reader.remove(number)
    assert [data for _, data in pairs.heard] == [b"two"]
    assert len(pairs.batch_reader) == 1


def test_the_end_of_the_other_side_is_something_to_read(pairs: Pairs) -> None:
    near, far = pairs.make()
    half, far_half = pairs.make()
    far.close()
    far_half.shutdown(socket.SHUT_WR)
    pairs.batch_reader.take_in()
    assert sorted(pairs.heard) == sorted([(near.fileno(), b""), (half.fileno(), b"")])


def test_a_connection_that_breaks_is_something_to_read(pairs: Pairs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    broken: list[bool] = []

    def read() -> None:
        with pytest.raises(ConnectionResetError):
            near.recv(10)
        broken.append(True)
        pairs.batch_reader.remove(near.fileno())

    with near:
        pairs.batch_reader.add(near.fileno(), read)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        pairs.batch_reader.take_in()
    assert broken == [True]


def test_the_first_socket_is_told_and_the_first_after_all_have_gone(pairs: Pairs) -> None:
    told: list[int] = []
    pairs.batch_reader.on_first = lambda: told.append(len(pairs.batch_reader))
    ends = [pairs.make() for _ in range(3)]
    assert told == [1]
    for near, _ in ends:
        pairs.batch_reader.remove(near.fileno())
    assert told == [1]
    pairs.make()
    pairs.make()
    assert told == [1, 1]


def test_what_cannot_be_gathered_is_declined(pairs: Pairs) -> None:
    near, _ = pairs.make()
    assert not pairs.batch_reader.add(near.fileno(), lambda: None)  # there already, with its own reader
    assert not pairs.batch_reader.add(-1, lambda: None)
    with open(os.devnull, "rb") as file:
        assert not pairs.batch_reader.add(file.fileno(), lambda: None)
    assert len(pairs.batch_reader) == 1


def test_once_closed_it_reads_and_takes_nothing(pairs: Pairs) -> None:
    near, far = pairs.make()
    far.send(b"one")
    pairs.batch_reader.close()
    assert len(pairs.batch_reader) == 0
    pairs.batch_reader.take_in()
    pairs.batch_reader.remove(near.fileno())
    pairs.batch_reader.close()
    assert not pairs.batch_reader.add(near.fileno(), lambda: None)
    assert pairs.heard == []


def test_without_epoll_every_socket_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    batch_reader = BatchReader()
    near, far = socket.socketpair()
    with near, far:
        assert not batch_reader.add(near.fileno(), lambda: None)
        batch_reader.take_in()
        batch_reader.remove(near.fileno())
        batch_reader.close()
    assert len(batch_reader) == 0


async def test_one_that_cannot_be_read_is_told_of_and_harms_nobody(pairs: Pairs) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    bad, bad_far = pairs.make()
    good, good_far = pairs.make()
    pairs.batch_reader.remove(bad.fileno())
    broken = RuntimeError("a mistake of ours")

    def read() -> None:
        raise broken

    assert pairs.batch_reader.add(bad.fileno(), read)
    bad_far.send(b"one")
    good_far.send(b"two")
    pairs.batch_reader.take_in()
    pairs.batch_reader.take_in()
    assert pairs.heard == [(good.fileno(), b"two")]
    assert told == [broken]
