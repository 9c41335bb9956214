"""The agent's sound on its way to the caller: paced, counted, recorded as it is heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from antiphon.audio.pcm import Samples, samples_from_bytes
from antiphon.audio.playout import Cleared
from antiphon.media.protocol import Medium
from antiphon.session.pacer import Pacer

TICKS_A_POSITION = 3
"""Of 20 ms, between two reports of how far the caller has heard: a word takes longer."""

MOST_HELD_S = 20.0
"""Sound made ahead of what was sent; more than that waits in the speaker."""


class Player:
    """Plays one reply at a time.

    ``medium`` gets s16le frames when its playout says that they are due. ``on_position(reply, samples)`` hears how far
    the caller has heard, every 60 ms while something plays. ``on_heard(samples)`` gets the very samples that were
    heard, for the recording. ``on_broken()`` is called when one of them raises while the pacer asks. While the medium
    is backed up nothing is sent: a client whose buffer takes minutes gets them no faster than its connection does.
    """

    def __init__(
        self,
        medium: Medium,
        pacer: Pacer,
        on_position: Callable[[int, int], None],
        on_heard: Callable[[Samples], None] | None,
        on_broken: Callable[[], None],
    ) -> None:
        self._medium = medium
        self._playout = medium.playout
        self._pacer = pacer
        self._on_position = on_position
        self._on_heard = on_heard
        self._on_broken = on_broken
        self._ticket: int | None = None
        self._reply: int | None = None
        self._position = 0
        self._ticks = 0
        self._unheard: deque[Samples] = deque()

    @property
    def underruns(self) -> int:
        """How often the caller's buffer ran dry within a reply."""
        return self._playout.underruns

    @property
    def full(self) -> bool:
        """Enough sound is held for now."""
        return self._playout.held > MOST_HELD_S * self._playout.rate

    def begin(self, reply: int) -> None:
        """The next reply's sound follows."""
        self._playout.begin(reply)
        self._reply = reply
        self._position = 0

    def push(self, samples: Samples, now: float) -> None:
        """More sound of the reply; what is due at once goes at once."""
        self._playout.push(samples)
        if self._ticket is None:
            self._ticket = self._pacer.add(self.tick, self._on_broken)
        self._release(now)

    def finish(self, now: float) -> None:
        """That was all of it."""
        self._playout.finish()
        self._release(now)

    def stop(self, now: float) -> Cleared:
        """Cut the reply: nothing of it is sent any more."""
        self._note_heard(now)
        cleared = self._playout.clear(now)
        self._unheard.clear()
        self._reply = None
        self._rest()
        return cleared

    def tick(self, now: float) -> None:
        """Send what is due, tell what was heard."""
        self._release(now)
        if self._reply is None:
            self._rest()
            return
        reply = self._reply
        done = self._playout.done(now)
        self._ticks += 1
        if (done or self._ticks % TICKS_A_POSITION == 0) and (self._note_heard(now) or done):
            self._on_position(reply, self._position)
        if done and self._reply == reply:
            self._reply = None
            self._rest()

    def close(self) -> None:
        """No more is asked of it."""
        self._rest()

    def _release(self, now: float) -> None:
        if self._medium.backed_up:
            return
        for frame in self._playout.due(now):
            self._medium.send_audio(frame)
            if self._on_heard is not None:
                self._unheard.append(samples_from_bytes(frame))

    def _note_heard(self, now: float) -> bool:
        position = self._playout.position(now)
        advanced = position - self._position
        self._position = position
        if self._on_heard is not None and advanced > 0:
            while advanced > 0 and self._unheard:
                frame = self._unheard.popleft()
                if len(frame) > advanced:
                    self._unheard.appendleft(frame[advanced:])
                    frame = frame[:advanced]
                advanced -= len(frame)
                self._on_heard(frame)
        return advanced > 0 or position > 0

    def _rest(self) -> None:
        if self._ticket is not None:
            self._pacer.remove(self._ticket)
            self._ticket = None
