"""API keys: made, checked, and known only by their hashes.

A key is ``prefix.secret``: 8 and 32 random letters and digits. The prefix names it, in listings and for revoking;
of the whole only the SHA-256 is kept, which is enough for a secret of 190 bits that nobody chose.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request

from antiphon.errors import Unauthorized
from antiphon.store.keys import KeyRepository
from antiphon.store.records import ApiKeyRecord

HEADERS = ("X-API-Key", "X-Unsafe-API-Key")
CACHE_S = 5.0
"""A key that was revoked elsewhere may still be taken for so long."""

CONFIGURED = "configured"
"""Names the operator's own key, ``api_key``. The prefix of a key in the store has eight characters."""

MAX_KEY_CHARACTERS = 256
_MOST_CACHED = 1024
_ALPHABET = string.ascii_letters + string.digits


def hash_key(key: str) -> str:
    """The SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def make_key(name: str, *, now: datetime, creator: str | None = None) -> tuple[str, ApiKeyRecord]:
    """A new key, which is shown once and never again, and the record to keep of it."""
    prefix, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (8, 32))
    key = f"{prefix}.{secret}"
    return key, ApiKeyRecord(prefix=prefix, key_hash=hash_key(key), name=name, created=now, creator=creator)


class Keyring:
    """Tells good keys from others. ``configured`` is the operator's own key, which is in no store."""

    def __init__(
        self, keys: KeyRepository, configured: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._configured = None if configured is None else hash_key(configured)
        self._clock = clock
        self._cache: dict[str, tuple[float, ApiKeyRecord | None]] = {}

    async def first_key(self, now: datetime) -> str | None:
        """Make a key where there is none at all; the key, to be shown this once."""
        if self._configured is not None or await self._keys.all():
            return None
        key, record = make_key("first", now=now)
        await self._keys.create(record)
        return key

    async def check(self, key: str | None) -> str:
        """Return the name of a good key: its prefix, or ``CONFIGURED``. Raises :class:`Unauthorized` for others."""
        if not key:
            raise Unauthorized("an API key is needed, in the header X-API-Key")
        name = await self._name_of(key)
        if name is None:
            raise Unauthorized("the API key is not known, was revoked or has expired")
        return name

    async def _name_of(self, key: str) -> str | None:
        if len(key) > MAX_KEY_CHARACTERS or not key.isascii():
            return None
        hashed = hash_key(key)
        if self._configured is not None and hmac.compare_digest(hashed, self._configured):
            return CONFIGURED
        record = await self._find(hashed)
        if record is None or record.revoked or not hmac.compare_digest(hashed, record.key_hash):
            return None
        return record.prefix if record.expiry is None or record.expiry > datetime.now(UTC) else None

    async def _find(self, hashed: str) -> ApiKeyRecord | None:
        now = self._clock()
        cached = self._cache.get(hashed)
        if cached is not None and cached[0] > now:
            return cached[1]
        record = await self._keys.find_by_hash(hashed)
        if len(self._cache) >= _MOST_CACHED:  # strangers guessing keys do not fill our memory
            self._cache.clear()
        self._cache[hashed] = (now + CACHE_S, record)
        return record


def presented_key(request: Request) -> str | None:
    """The key a request brings, in either header."""
    for name in HEADERS:
        value = request.headers.get(name)
        if value:
            return value.strip()
    return None
