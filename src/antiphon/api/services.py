"""What the routes are handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.api.auth import Keyring
from antiphon.api.forwarding import WorkerForwarding
from antiphon.config.config import Config
from antiphon.engines.condition import Conditions, EngineState, merged
from antiphon.engines.registry import Engines
from antiphon.errors import Overloaded, ServerStopping
from antiphon.lifecycle.manager import CallManager
from antiphon.store.repositories import Repositories


@dataclass(slots=True)
class Readiness:
    """Whether the engines are loaded and warm, and how they are doing. ``missing`` says what is not loaded.

    ``stopping``: no new calls are taken, for good.
    """

    missing: list[str] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)
    peers: tuple[EngineState, ...] = ()
    """What the other workers know of their engines, which are configured alike."""
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """Whether calls can be served."""
        return not self.missing and not self.stopping

    def failing(self) -> list[EngineState]:
        """Every engine whose last answer, to whichever worker, was none."""
        return [state for state in self._states().values() if state.failures]

    def broken(self, now: float) -> list[str]:
        """The kinds of engines of which none works, so that a call is likely to fail."""
        return self.conditions.broken(self._states(), now)

    def _states(self) -> dict[str, EngineState]:
        return merged((self.conditions.states(), self.peers))

    def require(self) -> None:
        """Raise ``Overloaded`` where calls cannot be served yet."""
        if self.stopping:
            raise ServerStopping
        if self.missing:
            raise Overloaded(f"the server is not ready; it waits for: {', '.join(self.missing)}")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the routes use."""

    config: Config
    store: Repositories
    engines: Engines
    manager: CallManager
    keys: Keyring
    readiness: Readiness
    forwarding: WorkerForwarding | None = None
    """The other workers, where there are any."""
