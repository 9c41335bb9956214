"""What the agent says when nobody says anything."""

from __future__ import annotations

from antiphon.call.settings import TimedMessage


class Silence:
    """Counts quiet time and names the message that is due. Durations are cumulative, message by message."""

    def __init__(self, messages: tuple[TimedMessage, ...]) -> None:
        self._messages = messages
        self._index = 0
        self._since: float | None = None

    @property
    def deadline(self) -> float | None:
        """When the next message is due, if quiet lasts."""
        if self._since is None or self._index >= len(self._messages):
            return None
        return self._since + self._messages[self._index].after_s

    def caller_was_active(self) -> None:
        """Anything from the caller starts the whole row over."""
        self._index = 0
        self._since = None

    def busy(self) -> None:
        """Somebody has the floor: no quiet to count."""
        self._since = None

    def quiet(self, now: float) -> None:
        """Nobody has the floor at ``now``."""
        if self._since is None:
            self._since = now

    def due(self, now: float) -> TimedMessage | None:
        """The message whose time has come, once."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        message = self._messages[self._index]
        self._index += 1
        self._since = None
        return message
