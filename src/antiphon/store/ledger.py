"""What live calls write while they run, without any of them ever waiting for the disk.

A call puts its messages and events into one queue; one task writes all that is there, of all calls, in one
transaction. An entry is committed a quarter of a second after it was put, or at once where somebody waits for it
(``flush``), as who reads a live call by REST does: a transaction by itself costs a millisecond or two of the processor,
an entry in it a few hundredths of one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from antiphon.errors import StoreError
from antiphon.store.database import Database
from antiphon.store.ledger_batch import (
    CallUpdate,
    Content,
    Entry,
    StageUpdate,
    size_bytes,
    write_entries,
)
from antiphon.store.records import CallChanges, CallToolRecord, EventRecord, MessageRecord, StageChanges, StageRecord

CAPACITY_BYTES = 64 * 1024 * 1024
MAX_BATCH = 500
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 2.0
CLOSE_TIMEOUT_S = 10.0
GATHERING_S = 0.25
"""How long the first entry waits for others to be committed with."""


class Trouble(StrEnum):
    """What kind of thing went wrong.

    ``RETRYING``: the database failed in a way that may pass, the same is tried again. ``REFUSED``: the database
    will never take this entry (its call was deleted, say), it is given up. ``DROPPED``: there was no room, or
    the ledger was closed.
    """

    RETRYING = "retrying"
    REFUSED = "refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class LedgerTrouble:
    """One thing that went wrong. ``error`` is one line and holds nothing of what was to be written.

    ``entries`` counts what it concerns, ``attempt`` counts failures in a row (``RETRYING`` only).
    """

    trouble: Trouble
    entries: int
    call_ids: tuple[str, ...]
    error: str
    attempt: int = 0


@dataclass(slots=True)
class LedgerCounts:
    """Totals since the start, for metrics."""

    committed: int = 0
    transactions: int = 0
    retries: int = 0
    refused: int = 0
    dropped: int = 0


class Ledger:
    """The one writer of a process. Use it from the event loop's thread only.

    ``async with Ledger(database) as ledger`` starts and closes it. Nothing that goes wrong with the database is
    ever raised by what a call uses; it is counted in ``counts`` and told to ``on_trouble``.

    Memory is bounded: while the database cannot be written and ``capacity_bytes`` are waiting, further events are
    dropped; at twice that everything new is, each time counted and told. What is already waiting is never dropped.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_trouble: Callable[[LedgerTrouble], None] | None = None,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        self._database = database
        self._on_trouble = on_trouble
        self._capacity_bytes = capacity_bytes
        self.counts = LedgerCounts()
        self._entries: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._put = 0  # number of the newest entry
        self._done = 0  # all entries up to this number are committed or given up
        self._newest: dict[str, int] = {}  # number of each call's newest entry, until it is done
        self._flushes: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._hurry = asyncio.Event()  # somebody waits for what is there
        self._writer: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many entries are put and not yet committed."""
        return self._put - self._done

    def append_stage(self, stage: StageRecord) -> None:
        """Write a new stage."""
        self._append(stage)

    def append_call_tool(self, tool: CallToolRecord) -> None:
        """Write a tool of a stage that was put before."""
        self._append(tool)

    def append_message(self, message: MessageRecord) -> None:
        """Write a message; it replaces what was at its place."""
        self._append(message)

    def append_event(self, event: EventRecord) -> None:
        """Write an event."""
        self._append(event)

    def update_call(self, call_id: str, changes: CallChanges) -> None:
        """Write what has changed on a call."""
        self._append(CallUpdate(call_id, changes))

    def update_stage(self, call_id: str, stage_id: str, changes: StageChanges) -> None:
        """Write what has changed on a stage."""
        self._append(StageUpdate(call_id, stage_id, changes))

    async def flush(self, call_id: str | None = None) -> None:
        """Return when all that was put for this call, or for all calls, before now is committed or given up.

        Waits as long as the database fails; give it a time limit where that is too long.

        Raises:
            StoreError: the ledger was closed without being able to write it.

        """
        number = self._put if call_id is None else self._newest.get(call_id, 0)
        if number <= self._done:
            return
        if self._writer is None or self._writer.done():
            raise StoreError("the ledger is not running")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Flushes of different calls may come in another order than their entries; the queue stays sorted.
        place = next((i for i, (other, _) in enumerate(self._flushes) if other > number), len(self._flushes))
        self._flushes.insert(place, (number, written))
        self._hurry.set()
        await written

    async def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._write(), name="ledger")

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write all that is left, and stop.

        Raises:
            StoreError: the database could not be written within ``timeout_s``; what was left is lost.

        """
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        if self._writer is None:
            return
        await asyncio.wait([self._writer], timeout=timeout_s)
        if not self._writer.done():
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if lost := self.waiting:
            error = StoreError(f"the database could not be written: {lost} entries of calls are lost")
            for _, written in self._flushes:
                if not written.done():
                    written.set_exception(error)
            self._flushes.clear()
            raise error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _append(self, content: Content) -> None:
        size = size_bytes(content)
        limit = self._capacity_bytes * (1 if isinstance(content, EventRecord) else 2)
        if self._closing.is_set() or self._waiting_bytes + size > limit:
            self.counts.dropped += 1
            why = "the ledger is closed" if self._closing.is_set() else "too much is waiting to be written"
            self._tell(LedgerTrouble(Trouble.DROPPED, 1, (content.call_id,), why))
            return
        self._put += 1
        self._entries.append(Entry(self._put, content, size))
        self._waiting_bytes += size
        self._newest[content.call_id] = self._put
        self._wake.set()

    async def _write(self) -> None:
        while not (self._closing.is_set() and not self._entries):
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), GATHERING_S)
            if not self._closing.is_set():
                self._hurry.clear()
            self._wake.clear()
            newest = self._put  # What comes while these are written waits for others to come, too.
            while self._done < newest:
                await self._write_batch([self._entries[i] for i in range(min(MAX_BATCH, len(self._entries)))])

    async def _write_batch(self, batch: Sequence[Entry]) -> None:
        """Write the oldest entries; they leave the queue only when they are done."""
        attempt = 0
        while True:
            try:
                await write_entries(self._database, batch)
            except StoreError as error:
                if not error.retryable:
                    return await self._write_apart(batch, str(error))
                attempt += 1
                self.counts.retries += 1
                self._tell(LedgerTrouble(Trouble.RETRYING, len(batch), _calls(batch), str(error), attempt))
                await self._pause(attempt)
            except Exception as error:
                # A mistake of ours in one entry must not stop the writing of all calls.
                return await self._write_apart(batch, type(error).__name__)
            else:
                self.counts.transactions += 1
                self.counts.committed += len(batch)
                return self._settle(batch)

    async def _write_apart(self, batch: Sequence[Entry], error: str) -> None:
        """Something in ``batch`` is refused: write each entry by itself, giving up those that are at fault."""
        if len(batch) > 1:
            for entry in batch:
                await self._write_batch([entry])
            return
        self.counts.refused += 1
        self._tell(LedgerTrouble(Trouble.REFUSED, 1, _calls(batch), error))
        self._settle(batch)

    async def _pause(self, attempt: int) -> None:
        pause_s = min(FIRST_RETRY_S * 2 ** min(attempt - 1, 10), LAST_RETRY_S)
        if self._closing.is_set():
            pause_s = FIRST_RETRY_S
            await asyncio.sleep(pause_s)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), pause_s)

    def _settle(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            self._entries.popleft()
            self._waiting_bytes -= entry.size_bytes
            self._done = entry.number
            if self._newest.get(entry.content.call_id) == entry.number:
                del self._newest[entry.content.call_id]
        while self._flushes and self._flushes[0][0] <= self._done:
            written = self._flushes.popleft()[1]
            if not written.done():
                written.set_result(None)

    def _tell(self, trouble: LedgerTrouble) -> None:
        if self._on_trouble is not None:
            # A mistake in the listener must neither stop the writing nor reach a call.
            with contextlib.suppress(Exception):
                self._on_trouble(trouble)


def _calls(batch: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.content.call_id for entry in batch))
