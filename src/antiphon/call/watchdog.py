"""The last resort: the agent owes something, and nothing moves.

Every wait in the core has a patience of its own, and these should do. Here no reason is asked for: whoever or
whatever is waited for, when no word, sound or result has come of it for long enough, the wait is given up, so that
no mistake, of ours or of an engine, leaves a caller in silence for ever. What bites is noted as ``stuck``, with what
was waited for: it is a mistake to be mended.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from antiphon.call.listening.transcripts import Hearing
from antiphon.call.messages import Modality
from antiphon.call.speaking.agenda import Agenda
from antiphon.call.speaking.floor import Floor
from antiphon.call.tools.invocations import Toolwork

STOPPED_PATIENCE_S = 5.0
"""``Stop`` is answered at once by whoever plays; a reply that waits for it holds everything up."""

SLACK_S = 10.0
"""How much longer than the longest of the other patiences it waits: these have the first word."""


class Wait(NamedTuple):
    """What the agent waits for. As long as ``progress`` changes, something is going on.

    ``not_before``: the wait may last until then, whatever the patience; ``patience_s`` ``None``: the usual one.
    """

    what: str
    progress: Hashable
    patience_s: float | None = None
    not_before: float = 0.0


def wait_of(
    at: float, floor: Floor, tools: Toolwork, hearing: Hearing, agenda: Agenda, *, caller_speaks: bool
) -> Wait | None:
    """What has to happen next, the caller's own speech apart; ``None``: nothing has to."""
    reply = floor.reply
    if reply is not None:
        if reply.stopping:
            return Wait("playout_stopped", reply.number, STOPPED_PATIENCE_S)
        signs = (reply.number, len(reply.text.rstrip()), reply.generated, reply.samples, reply.position)
        if not reply.generated:
            return Wait("text", signs)
        whole = reply.complete or reply.modality is Modality.TEXT
        return Wait("playout" if whole else "sound", signs)
    if tools.busy:
        by = tools.deadline
        return Wait("tool", by, not_before=by or 0.0)
    if caller_speaks:
        return None
    if hearing.waiting:
        words_by = hearing.words_by
        return Wait("turn" if words_by is None else "words", (len(hearing.waiting), words_by), None, words_by or 0.0)
    if agenda.lines or agenda.answer_owed or agenda.closing:
        return Wait("floor", (len(agenda.lines), agenda.answer_owed))
    if agenda.greeting_due is not None and agenda.greeting_due <= at:
        return Wait("greeting", None)
    return None


class Watchdog:
    """Sleeps while something moves. ``patience_s``: the longest of all other waits for an engine."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s + SLACK_S
        self._wait: Wait | None = None
        self._since = 0.0

    @property
    def deadline(self) -> float | None:
        """When it bites, if nothing moves."""
        if self._wait is None:
            return None
        patience_s = self._patience_s if self._wait.patience_s is None else self._wait.patience_s
        return max(self._since, self._wait.not_before) + patience_s

    def watch(self, at: float, wait: Wait | None) -> None:
        """What is waited for at ``at``."""
        if wait != self._wait:
            self._wait, self._since = wait, at

    def bites(self, now: float) -> tuple[str, float] | None:
        """What has not come, and since when nothing has moved; once."""
        deadline = self.deadline
        if self._wait is None or deadline is None or now < deadline:
            return None
        bitten = (self._wait.what, self._since)
        self._wait = None
        return bitten
