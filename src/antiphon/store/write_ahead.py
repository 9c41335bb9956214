"""What is said in live calls, on disk before any client sees it.

The ledger commits a message some milliseconds after it was put, and no call waits for that. A process that is killed
in between would have shown a client words that are on no record. Hence each message first goes into a file of its
call, by one small write that is over when it returns and survives the process (not a power failure). The file is
removed when the ledger has everything; one that is found at the next start is put on record then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from antiphon.store.ledger import Ledger
from antiphon.store.records import CallChanges, MessageRecord, StageRecord

FLUSH_PATIENCE_S = 30.0

_LINE: TypeAdapter[MessageRecord | StageRecord] = TypeAdapter(MessageRecord | StageRecord)
_log = structlog.get_logger(__name__)


class WriteAhead:
    """A folder with one file for each call that something was said in. Nothing that fails here fails a call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def add(self, line: MessageRecord | StageRecord) -> None:
        """Write a message, or the stage that the next ones belong to; it is there when this returns."""
        try:
            os.write(self._file(line.call_id), _LINE.dump_json(line) + b"\n")
        except OSError as error:
            _log.error("spool_failed", call_id=line.call_id, error=error.strerror)

    def close(self, call_id: str, *, recorded: bool) -> None:
        """The call is over. Where everything of it is on record, its file is removed."""
        file = self._files.pop(call_id, None)
        if file is not None:
            os.close(file)
            if recorded:
                with contextlib.suppress(OSError):
                    self._path(call_id).unlink()

    async def recover(self, ledger: Ledger) -> None:
        """Put on record what a former process left; messages that are there already stay as they are.

        To be run before any call is served. Files stay where the ledger cannot write, for the next start.
        """
        found = await asyncio.to_thread(self._left_behind)
        for lines in found.values():
            for line in lines:
                if isinstance(line, StageRecord):
                    ledger.append_stage(line)
                    ledger.update_call(line.call_id, CallChanges(current_stage_id=line.stage_id))
                else:
                    ledger.append_message(line)
        try:
            await asyncio.wait_for(ledger.flush(), FLUSH_PATIENCE_S)
        except TimeoutError:
            return
        for path in found:
            with contextlib.suppress(OSError):
                path.unlink()

    def _left_behind(self) -> dict[Path, list[MessageRecord | StageRecord]]:
        return {path: list(_read(path)) for path in self._folder.glob("*.jsonl")}

    def _path(self, call_id: str) -> Path:
        return self._folder / f"{call_id}.jsonl"

    def _file(self, call_id: str) -> int:
        file = self._files.get(call_id)
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._path(call_id), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._files[call_id] = file
        return file


def _read(path: Path) -> list[MessageRecord | StageRecord]:
    """The whole lines of a file; the last may have been cut off in the middle."""
    lines: list[MessageRecord | StageRecord] = []
    try:
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValidationError):
                lines.append(_LINE.validate_json(line))
    except OSError as error:
        _log.error("spool_unreadable", error=error.strerror)
    return lines
