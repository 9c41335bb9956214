"""From utterances to the caller's words: which revisions were asked for, what came back, which turns are whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.call.actions import Action, CloseUtterance, JudgeTurn, Transcribe
from antiphon.call.history import Span


@dataclass(slots=True)
class HeardTurn:
    """A turn that the caller has ended; ``text`` is ``None`` until its words have come."""

    utterance: int
    revision: int
    audio_span: Span
    wall_span: Span
    ended_at: float
    text: str | None = None
    transcribed_at: float | None = None
    ordinal: int | None = None


@dataclass(slots=True)
class Hearing:
    """The words of the utterance under way and of turns that still wait for theirs, oldest first."""

    judges_turns: bool
    waiting: list[HeardTurn] = field(default_factory=list)
    _utterance: int = 0
    _revision: int = 0
    _text: str | None = None
    _transcribed_at: float | None = None

    def pause(self, utterance: int, revision: int) -> list[Action]:
        """The caller is silent: ask for the words so far, and whether that was all."""
        self._utterance, self._revision = utterance, revision
        self._text = self._transcribed_at = None
        actions: list[Action] = [Transcribe(utterance, revision)]
        if self.judges_turns:
            actions.append(JudgeTurn(utterance, revision))
        return actions

    def end(self, turn: HeardTurn) -> None:
        """The caller is done; the words may be here already."""
        if (turn.utterance, turn.revision) == (self._utterance, self._revision):
            turn.text, turn.transcribed_at = self._text, self._transcribed_at
        self.waiting.append(turn)

    def take_words(self, utterance: int, revision: int, text: str, at: float) -> bool:
        """The words of a revision have come. True when they are of use."""
        for turn in self.waiting:
            if (turn.utterance, turn.revision) == (utterance, revision) and turn.text is None:
                turn.text, turn.transcribed_at = text, at
                return True
        if (utterance, revision) == (self._utterance, self._revision):
            self._text, self._transcribed_at = text, at
            return True
        return False

    def pop_whole(self) -> HeardTurn | None:
        """The oldest turn, once its words are known; turns are taken in order."""
        if self.waiting and self.waiting[0].text is not None:
            return self.waiting.pop(0)
        return None

    @staticmethod
    def release(utterance: int) -> Action:
        """The audio is of no further use."""
        return CloseUtterance(utterance)
