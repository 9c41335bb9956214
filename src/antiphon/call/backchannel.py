"""Telling "mm-hmm" from "wait".

A backchannel is a short sound of listening: the caller does not want the floor. It is told by its words and its
length; a noise without words (a cough, a door) is one too. After a question of the agent's the same words are an
answer. When in doubt it is a turn: to talk on over a caller who wants to speak is the worse mistake.
"""

from __future__ import annotations

import re

from antiphon.call.agenda import Line
from antiphon.call.messages import Modality
from antiphon.call.reply import Reply
from antiphon.call.settings import EndBehavior
from antiphon.call.tools import ToolRequest

LONGEST_S = 1.5
"""More speech than this is no backchannel, whatever its words, if it has any."""

_ALONE = frozenset(
    {"mm", "mmm", "mhm", "mhmm", "hm", "hmm", "hmmm", "uh", "um", "huh", "uhhuh", "mmhmm", "mmhm", "yeah", "yea"}
    | {"yep", "yup", "right", "okay", "ok", "sure", "aha", "ah", "oh", "wow", "great", "cool", "nice", "really"}
    | {"exactly", "indeed", "true"}
)
_TOGETHER = frozenset({"i see", "got it", "uh huh", "mm hmm", "oh i see", "all right", "of course", "makes sense"})
_NOT_A_WORD = re.compile(r"[^\w\s]|_")


def is_backchannel(text: str, speech_s: float, *, after_question: bool) -> bool:
    """Whether ``text``, said in ``speech_s`` seconds over a reply, only says "I am listening".

    ``after_question``: the last words of the reply that were heard are a question.
    """
    words = _NOT_A_WORD.sub(" ", text.replace("-", "").lower()).split()
    if not words:
        return True  # a noise, however long
    if speech_s > LONGEST_S or after_question or len(words) > 4:
        return False
    spaced = " ".join(_NOT_A_WORD.sub(" ", text.lower()).split())
    return spaced in _TOGETHER or all(word in _ALONE for word in words)


class Resumption:
    """What an interrupted reply had still to say, until it is known what the interruption was."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._line: Line | None = None
        self._after_question = False

    def hold(self, reply: Reply, wants: tuple[ToolRequest, ...]) -> None:
        """The caller's voice has stopped ``reply``; ``wants``: the tools that waited behind its words."""
        if self.possible(reply):
            end = EndBehavior.NOTHING if reply.line is None else reply.line.end
            self._line = Line(reply.text[reply.heard_characters :].strip(), end=end, wants=wants, resumes=True)
            self._after_question = reply.heard_text.rstrip("\"'”’)").endswith("?")

    def possible(self, reply: Reply) -> bool:
        """The reply was stopped by the caller's voice in the middle, and all its words are known."""
        whole = reply.generated and not reply.failed and reply.modality is Modality.VOICE
        rest = reply.text[reply.heard_characters :].strip()
        begun = bool(reply.heard_text) or (reply.line is not None and reply.line.resumes)
        return self._enabled and reply.interrupted and whole and begun and bool(rest)

    def listens(self, text: str, speech_s: float) -> bool:
        """The caller spoke over a reply, and only to say "I am listening"."""
        return self._line is not None and is_backchannel(text, speech_s, after_question=self._after_question)

    def take(self) -> Line | None:
        """The rest, to be said now."""
        line, self._line = self._line, None
        return line

    def forget(self) -> None:
        """It was a turn, or somebody has decided: no resuming."""
        self._line = None
