"""Telling "mm-hmm" from "wait".

A backchannel is a short sound of listening: the caller does not want the floor. It is told by its words and its
length; a noise without words (a cough, a door) is one too. After a question of the agent's the same words are an
answer. When in doubt it is a turn: to talk on over a caller who wants to speak is the worse mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from antiphon.call.actions import Action, Stop
from antiphon.call.messages import Modality
from antiphon.call.prompt import ToolRequest
from antiphon.call.speaking.agenda import Line
from antiphon.call.speaking.reply import Reply

LONGEST_S = 1.5
"""More speech than this is no backchannel, whatever its words, if it has any."""

MOST_WORDS = 4

_ALONE = frozenset(
    {"mm", "mmm", "mhm", "mhmm", "hm", "hmm", "hmmm", "uh", "um", "huh", "uhhuh", "mmhmm", "mmhm", "yeah", "yea"}
    | {"yep", "yup", "right", "okay", "ok", "sure", "aha", "ah", "oh", "wow", "great", "cool", "nice", "really"}
    | {"exactly", "indeed", "true"}
)
_TOGETHER = frozenset({"i see", "got it", "uh huh", "mm hmm", "oh i see", "all right", "of course", "makes sense"})
_NOT_A_WORD = re.compile(r"[^\w\s]|_")


class Overheard(Enum):
    """What the caller's voice over a reply turned out to be."""

    NOISE = "noise"
    BACKCHANNEL = "backchannel"
    ANSWER = "answer"
    """the same words, to a question"""
    LONG = "long"
    """the same words, but too many, or for too long"""
    WORDS = "words"

    @property
    def only_listens(self) -> bool:
        """The caller does not want the floor."""
        return self in (Overheard.NOISE, Overheard.BACKCHANNEL)


def overheard(text: str, speech_s: float, *, after_question: bool) -> Overheard:
    """What ``text``, said in ``speech_s`` seconds over a reply, is.

    ``after_question``: the last words of the reply that were heard are a question.
    """
    words = _NOT_A_WORD.sub(" ", text.replace("-", "").lower()).split()
    if not words:
        return Overheard.NOISE  # however long
    spaced = " ".join(_NOT_A_WORD.sub(" ", text.lower()).split())
    if spaced not in _TOGETHER and not all(word in _ALONE for word in words):
        return Overheard.WORDS
    if after_question:
        return Overheard.ANSWER
    return Overheard.LONG if speech_s > LONGEST_S or len(words) > MOST_WORDS else Overheard.BACKCHANNEL


def is_backchannel(text: str, speech_s: float, *, after_question: bool) -> bool:
    """Whether it only says "I am listening"."""
    return overheard(text, speech_s, after_question=after_question).only_listens


@dataclass(slots=True, eq=False)
class Held:
    """An interrupted reply and what it had still to say. The model may still be writing it."""

    reply: Reply
    heard: int
    """Characters of its text that the caller has heard."""
    wants: list[ToolRequest]
    """Tools to be used once its words are heard."""

    @property
    def rest(self) -> str:
        """What is written of it and was not heard."""
        return self.reply.text[self.heard :]

    @property
    def whole(self) -> bool:
        """The model has written all of it."""
        return self.reply.generated

    def write(self, at: float, delta: str) -> None:
        """The model has written more, which nobody is to hear yet."""
        self.reply.write(delta, at)

    def finish_writing(self) -> None:
        """That was all."""
        self.reply.finish_writing()


class Resumption:
    """What interrupted replies had still to say: one until it is known what the interruption was, some to be resumed.

    ``out`` gets the actions that follow.
    """

    def __init__(self, enabled: bool, out: list[Action]) -> None:
        self._enabled = enabled
        self._out = out
        self._undecided: Held | None = None
        self._resuming: dict[int, Held] = {}
        self._after_question = False

    def hold(self, reply: Reply, wants: tuple[ToolRequest, ...]) -> None:
        """The caller's voice has stopped ``reply``; ``wants``: the tools that waited behind its words."""
        if self.possible(reply):
            self.forget()
            self._undecided = Held(reply, reply.heard_characters, list(wants))
            if reply.heard_text:
                self._after_question = reply.heard_text.rstrip("\"'”’)").endswith("?")

    def possible(self, reply: Reply) -> bool:
        """The reply was stopped by the caller's voice in the middle, and all its words are known, or will be."""
        begun = bool(reply.heard_text) or (reply.line is not None and reply.line.resumes is not None)
        if not (self._enabled and reply.interrupted and begun and reply.modality is Modality.VOICE):
            return False
        rest = reply.text[reply.heard_characters :].strip()
        return not reply.failed and (bool(rest) if reply.generated else reply.keeps_writing)

    def may_follow(self, reply: Reply) -> bool:
        """Whether what the model still writes of ``reply`` is to be kept, when the caller's voice stops it now."""
        return self._enabled and reply.playing and reply.modality is Modality.VOICE and not reply.generated

    def find(self, number: int) -> Held | None:
        """The reply, among those held, that the model writes as ``number``."""
        held = [*self._resuming.values(), *([self._undecided] if self._undecided else [])]
        return next((one for one in held if one.reply.written_as == number and not one.whole), None)

    @property
    def undecided(self) -> Held | None:
        """The reply of which it is not known yet whether it was stopped for nothing."""
        return self._undecided

    def listens(self, text: str, speech_s: float) -> bool:
        """The caller spoke over a reply, and only to say "I am listening"."""
        return self._undecided is not None and self.verdict(text, speech_s).only_listens

    def verdict(self, text: str, speech_s: float) -> Overheard:
        """What the caller's voice over the reply was, now that the words are known."""
        return overheard(text, speech_s, after_question=self._after_question)

    def take(self) -> Line | None:
        """The rest, to be said now; ``None`` where there is none."""
        held, self._undecided = self._undecided, None
        if held is None or (held.whole and not held.rest.strip() and not held.wants):
            return None
        self._resuming[held.reply.number] = held
        return Line(held.rest.strip(), end=held.reply.end, resumes=held.reply.number)

    def said(self, line: Line) -> Held | None:
        """``line`` is being said now: what there is of it by now, if it is the rest of a reply."""
        return None if line.resumes is None else self._resuming.pop(line.resumes, None)

    def forget(self) -> None:
        """It was a turn, or somebody has decided: no resuming."""
        held, self._undecided = self._undecided, None
        if held is not None and not held.whole:
            self._out.append(Stop(held.reply.written_as))
