"""What the server needs from the rest of the house, and what its routes are handed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from antiphon.engines.registry import Engines
from antiphon.errors import Overloaded
from antiphon.media.protocol import Medium
from antiphon.server.auth import Keyring
from antiphon.server.config import Config
from antiphon.store.records import CallRecord
from antiphon.store.repositories import Repositories
from antiphon.wire.call_request import CallRequest
from antiphon.wire.incoming import Incoming


@dataclass(frozen=True, slots=True)
class CreatedCall:
    """A new call; ``join_url`` is told this once, as only a hash of its secret is kept."""

    record: CallRecord
    join_url: str


class Switchboard(Protocol):
    """All calls of this process, from creation to end."""

    @property
    def live_count(self) -> int:
        """Calls that are joined and not ended."""

    async def create(self, request: CallRequest, base_url: str, *, greeting_prompt: bool = True) -> CreatedCall:
        """Store a new call and start its join timeout.

        ``base_url`` is ``ws://`` or ``wss://`` and the host; the join URL is
        ``base_url + join_path(call_id, token)`` (see ``server/join.py``).
        Raises ``InvalidRequest`` (unknown model or voice) and ``Overloaded``.
        """

    async def serve(self, call_id: str, token: str, medium: Medium, client_version: str | None) -> None:
        """Serve the call on ``medium`` until it ends; closes the medium. Raises ``JoinRefused`` before that."""

    def is_live(self, call_id: str) -> bool:
        """Whether the call is being served here."""

    async def send(self, call_id: str, message: Incoming) -> None:
        """Hand a live call a data message. Raises ``WrongState`` where it is not live."""

    async def end(self, call_id: str) -> None:
        """End a live call, and return when it has ended; nothing happens to others."""

    async def end_all(self) -> None:
        """End every live call, because the server stops; returns when they have ended."""


@dataclass(slots=True)
class Readiness:
    """Whether the engines are loaded and warm. ``missing`` says what is not."""

    missing: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether calls can be served."""
        return not self.missing

    def require(self) -> None:
        """Raise ``Overloaded`` where calls cannot be served yet."""
        if self.missing:
            raise Overloaded(f"the server is starting; it waits for: {', '.join(self.missing)}")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the routes use."""

    config: Config
    store: Repositories
    engines: Engines
    switchboard: Switchboard
    keys: Keyring
    readiness: Readiness
