"""Packets of all calls taken in together, every few milliseconds, instead of the process being woken for each.

To wake a sleeping process costs fifty microseconds on a virtual machine, to read a packet two: five calls that send
fifty packets a second each cost as much by waking as fifty do (docs/performance.md). Whoever has the clock calls
``take_in`` at each beat; nothing wakes the process in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable


class BatchReader:
    """Sockets that are read at the beat. For Linux, whose ``epoll`` it uses; elsewhere ``add`` declines."""

    def __init__(self) -> None:
        self._poll = select.epoll() if hasattr(select, "epoll") else None
        self._readers: dict[int, Callable[[], None]] = {}
        self.on_first: Callable[[], None] = lambda: None
        """Called when there was nothing to take in, and now there is a socket."""

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, descriptor: int, read: Callable[[], None]) -> bool:
        """Call ``read()`` at each beat at which there is something to read, until it raises. False: not here."""
        if self._poll is None:
            return False
        try:
            self._poll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)
        except (OSError, ValueError):  # no such descriptor
            return False
        self._readers[descriptor] = read
        if len(self._readers) == 1:
            self.on_first()
        return True

    def remove(self, descriptor: int) -> None:
        """It is read no more; to be called before it is closed. Unknown ones are fine."""
        if self._readers.pop(descriptor, None) is not None and self._poll is not None:
            with contextlib.suppress(OSError):  # it was closed already, and has gone by itself
                self._poll.unregister(descriptor)

    def take_in(self) -> None:
        """Read what has come. To be called on the event loop."""
        if self._poll is None or not self._readers:
            return
        for descriptor, _ in self._poll.poll(0, len(self._readers)):
            read = self._readers.get(descriptor)
            if read is None:
                continue  # it was removed by one before it
            try:
                read()
            except Exception as error:  # one socket's trouble is not the others', nor the clock's
                self.remove(descriptor)
                context = {"message": "a socket could not be read", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def close(self) -> None:
        """Nothing is read any more."""
        self._readers.clear()
        if self._poll is not None:
            self._poll.close()
            self._poll = None
