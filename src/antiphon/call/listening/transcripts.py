"""From utterances to the caller's words: which revisions were asked for, what came back, which turns are whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.call.actions import Action, CloseUtterance, JudgeTurn, Transcribe
from antiphon.call.history import Span


@dataclass(slots=True, eq=False)
class HeardTurn:
    """A turn that the caller has ended; ``text`` is ``None`` until its words have come, or are given up."""

    utterance: int
    revision: int
    audio_span: Span
    wall_span: Span
    started_at: float
    ended_at: float
    words_by: float
    """When the words are given up."""
    text: str | None = None
    transcribed_at: float | None = None
    asked_again: bool = False
    """The transcriber has failed on it once."""
    ordinal: int | None = None
    decided_at: float | None = None
    """When it was held to be over."""
    cut: bool = False
    """The caller has not come to an end, and is answered all the same."""


@dataclass(slots=True)
class Hearing:
    """The words of the utterance under way and of turns that still wait for theirs, oldest first."""

    judges_turns: bool
    waiting: list[HeardTurn] = field(default_factory=list)
    _utterance: int = 0
    _revision: int = 0
    _text: str | None = None
    _transcribed_at: float | None = None
    _failed: bool = False

    @property
    def words_by(self) -> float | None:
        """When the first of the turns that wait for their words has waited long enough."""
        return min((turn.words_by for turn in self.waiting if turn.text is None), default=None)

    def pause(self, utterance: int, revision: int) -> list[Action]:
        """The caller is silent: ask for the words so far, and whether that was all."""
        actions = self.ask(utterance, revision)
        if self.judges_turns:
            actions.append(JudgeTurn(utterance, revision))
        return actions

    def ask(self, utterance: int, revision: int) -> list[Action]:
        """Ask for the words so far."""
        self._utterance, self._revision = utterance, revision
        self._text = self._transcribed_at = None
        self._failed = False
        return [Transcribe(utterance, revision)]

    def end(self, turn: HeardTurn) -> list[Action]:
        """The caller is done; the words may be here already, or are to be asked for once more."""
        self.waiting.append(turn)
        if (turn.utterance, turn.revision) == (self._utterance, self._revision):
            turn.text, turn.transcribed_at = self._text, self._transcribed_at
            if self._failed:
                return self.ask_again(turn)
        return []

    @staticmethod
    def ask_again(turn: HeardTurn) -> list[Action]:
        """The transcriber may have a second try."""
        turn.asked_again = True
        return [Transcribe(turn.utterance, turn.revision)]

    def awaited(self, utterance: int, revision: int) -> HeardTurn | None:
        """The turn that waits for the words of that revision."""
        for turn in self.waiting:
            if (turn.utterance, turn.revision) == (utterance, revision) and turn.text is None:
                return turn
        return None

    def take_words(self, utterance: int, revision: int, text: str, at: float) -> bool:
        """The words of a revision have come. True when they are of use."""
        if (turn := self.awaited(utterance, revision)) is not None:
            turn.text, turn.transcribed_at = text, at
            return True
        if (utterance, revision) == (self._utterance, self._revision):
            self._text, self._transcribed_at = text, at
            return True
        return False

    def lose_words(self, utterance: int, revision: int) -> None:
        """The words of a revision on which no turn has ended (yet) will not come."""
        if (utterance, revision) == (self._utterance, self._revision):
            self._failed = True

    @staticmethod
    def release(utterance: int) -> Action:
        """The audio is of no further use."""
        return CloseUtterance(utterance)
