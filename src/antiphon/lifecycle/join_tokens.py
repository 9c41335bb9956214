"""Join URLs: made, shown for as long as they serve, and the calls ended whose URL nobody used.

The secret in a join URL is an HMAC of the call's id under a key that lies in the data folder, and only its hash is on
the call's record. So whichever process of the server is asked can tell a call's URL, and whether one is good.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from antiphon import metrics
from antiphon.call.ends import EndReason
from antiphon.errors import DataFolderError
from antiphon.lifecycle.call_log import log_ended
from antiphon.lifecycle.join_forecast import JoinForecast
from antiphon.store.calls import CallRepository
from antiphon.store.records import CallRecord

SECRET_BYTES = 32


def read_secret(folder: Path) -> bytes:
    """The key of the join URLs of this data folder; made where there is none, for its owner only.

    Raises:
        DataFolderError: the folder cannot be written.

    """
    path = folder / "join-secret"
    try:
        if not path.exists():
            # Several processes may make it at once: the first stays, and nobody reads it half-written.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = folder / f".join-secret-{os.getpid()}-{secrets.token_hex(4)}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_bytes()
    except OSError as error:
        raise DataFolderError(f"cannot write {path}: {error.strerror}; choose another --data-dir") from None


def hash_token(token: str) -> str:
    """What is on record of a token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


NO_KEY = ""
"""Stands for the API key of a call that another process created."""


@dataclass(slots=True)
class _Waiting:
    """A call that waits for its join. ``timeout`` is ``None`` while it is being created."""

    key: str
    timeout: asyncio.TimerHandle | None = None


class JoinTokens:
    """The join URLs of a server, and the calls made by this process that wait for somebody to use theirs."""

    def __init__(
        self, calls: CallRepository, secret: bytes, spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._calls = calls
        self._secret = secret
        self._spawn = spawn
        self._waiting: dict[str, _Waiting] = {}
        self._forecast = JoinForecast()
        self.by_key: Counter[str] = Counter()
        """How many calls wait here, by the API key that created them."""
        self.on_gone: Callable[[str], None] = lambda _call_id: None
        """Told of calls that wait here no more though nobody joined them here."""
        self.on_used: Callable[[str], None] = lambda _call_id: None
        """Told of calls that were joined here and wait in another process."""
        self.on_deleted: Callable[[str], None] = lambda _call_id: None
        """Told of calls that were deleted here and wait in another process."""

    def __len__(self) -> int:
        """Calls that wait here."""
        return len(self._waiting)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._waiting

    def expected(self) -> float:
        """Return how many joins are to be expected soon, of the calls that wait here."""
        return self._forecast.expected(asyncio.get_running_loop().time())

    def token(self, call_id: str) -> str:
        """The secret in the call's join URL: 43 letters, digits, ``-`` and ``_``."""
        digest = hmac.digest(self._secret, call_id.encode(errors="surrogateescape"), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def is_token(self, call_id: str, token: str) -> bool:
        """Whether ``token`` is the call's, if there is such a call."""
        return hmac.compare_digest(self.token(call_id).encode(), token.encode(errors="surrogateescape"))

    def join_url(self, call: CallRecord, base: str) -> str | None:
        """The call's join URL for as long as it serves. ``base``: ``ws(s)://host[:port]`` as the client reaches us.

        ``None`` also for a call of another server, whose secret this one does not have.
        """
        if call.claimed is not None or call.ended is not None or call.join_deadline <= datetime.now(UTC):
            return None
        token = self.token(call.call_id)
        if not hmac.compare_digest(hash_token(token), call.join_token_hash):
            return None
        return f"{base}/api/calls/{call.call_id}/join?token={token}"

    def reserve(self, call_id: str, key: str) -> None:
        """A call is being created: it counts from now on. ``expect`` it then, or ``forget`` it."""
        self._waiting[call_id] = _Waiting(key)
        self.by_key[key] += 1
        self._forecast.waits(call_id, asyncio.get_running_loop().time())

    def expect(self, call: CallRecord) -> None:
        """End the call when its time is up, unless somebody has joined it by then."""
        if call.call_id not in self._waiting:
            self.reserve(call.call_id, NO_KEY)
        left_s = max(0.0, (call.join_deadline - datetime.now(UTC)).total_seconds())
        timer = asyncio.get_running_loop().call_later(left_s, self.expire, call.call_id)
        self._waiting[call.call_id].timeout = timer

    def expire(self, call_id: str) -> None:
        """Its time is up."""
        self._forecast.missed(call_id)
        self.forget(call_id)
        self._spawn(self._end(call_id))

    def used(self, call_id: str) -> None:
        """Somebody joined it here."""
        self._forecast.joined(call_id)
        if not self._cancel(call_id):
            self.on_used(call_id)

    def used_elsewhere(self, call_id: str) -> None:
        """Somebody joined it in another process."""
        self._forecast.joined(call_id)
        self.forget(call_id)

    def deleted(self, call_id: str) -> None:
        """It was deleted here before anybody joined it."""
        if call_id in self._waiting:
            self.forget(call_id)
        else:
            self.on_deleted(call_id)

    def forget(self, call_id: str) -> None:
        """It waits here no more, and was not joined here."""
        self._forecast.dropped(call_id)
        self._cancel(call_id)
        self.on_gone(call_id)

    def close(self) -> None:
        """Wait for nobody any more."""
        for call_id in list(self._waiting):
            self._cancel(call_id)

    def _cancel(self, call_id: str) -> bool:
        waiting = self._waiting.pop(call_id, None)
        if waiting is None:
            return False
        if waiting.timeout is not None:
            waiting.timeout.cancel()
        self.by_key[waiting.key] -= 1
        if not self.by_key[waiting.key]:
            del self.by_key[waiting.key]
        return True

    async def _end(self, call_id: str) -> None:
        """A join that is being claimed, by whatever process, is decided by the store: one of the two is first."""
        ended = datetime.now(UTC)
        if await self._calls.end_unclaimed(call_id, ended):
            metrics.CALLS_ENDED.labels(EndReason.UNJOINED.value).inc()
            log_ended(call_id, EndReason.UNJOINED, None, ended)
