"""Virtual players: what a listener with so much buffer would have heard."""

from __future__ import annotations

from load.speech import FRAME_S

BUFFERS_S = (0.0, 0.06, 0.2)


class Player:
    """Begins to play ``buffer_s`` after the first frame of a reply; when it runs dry within one, it begins anew."""

    def __init__(self, buffer_s: float) -> None:
        self._buffer_s = buffer_s
        self.dry_at: float | None = None
        """When all that came so far will have been played; None before anything came, and after a clear."""
        self.underruns = 0
        self.silence_s = 0.0
        """How long it was dry within replies."""

    def push(self, at: float, begins: bool) -> None:
        """One frame has come; ``begins``: it is the first of a reply."""
        if self.dry_at is None or (begins and at > self.dry_at):
            self.dry_at = at + self._buffer_s + FRAME_S
        elif at > self.dry_at:
            self.underruns += 1
            self.silence_s += at - self.dry_at + self._buffer_s
            self.dry_at = at + self._buffer_s + FRAME_S
        else:
            self.dry_at += FRAME_S

    def clear(self) -> None:
        """Drop what is not played."""
        self.dry_at = None

    def playing(self, at: float) -> bool:
        """Whether something is heard at that time."""
        return self.dry_at is not None and at < self.dry_at
