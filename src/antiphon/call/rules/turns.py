"""The caller's turns, once their words are known: into history, or forgotten."""

from __future__ import annotations

from antiphon.call.listening.transcripts import HeardTurn
from antiphon.call.messages import Modality, Severity
from antiphon.call.rules.endings import Closing
from antiphon.call.speaking.backchannel import LONGEST_S


class Turns(Closing):
    """What becomes of the caller's turns."""

    def _take_whole_turns(self) -> None:
        """Put turns whose words are known into history, unless an uninterruptible reply is to be heard first."""
        hears_itself = self.settings.speech_model and not self.closing
        reply = None if self.ending else self.floor.reply
        for turn in list(self.hearing.waiting):
            if turn.ordinal is not None:
                continue
            if turn.text is None and not hears_itself:
                break
            if self.tools.busy and not self.ending:
                break  # the caller is heard after the tool's result
            if reply is not None and (reply.stopping or not reply.interruptible):
                break
            speech_s = turn.audio_span.end_s - turn.audio_span.start_s
            if turn.text is None and self.resumption.undecided is not None and speech_s <= LONGEST_S:
                break  # even a model that hears the sound itself must not take an "mm-hmm" for a turn
            listened = turn.text is not None and self.resumption.listens(turn.text, speech_s)
            if turn.text == "" or (reply is not None and turn.started_at >= reply.began_at) or listened:
                self._forget_turn(turn)
                if listened:
                    self._resume(turn.text or "", speech_s)
                continue
            self.take_for_turn(turn.text or "", speech_s)
            turn.ordinal = self.history.take_ordinal()
            if not self.closing:
                self._answering = turn
                self.agenda.owe_answer(over_caller=turn.cut)
                self.agenda.greeting_due = None
        for turn in list(self.hearing.waiting):
            # A speech model is to have the sound of the turn it answers, and not its words as well.
            to_be_heard = hears_itself and turn is self._answering and self.agenda.answer_owed
            if turn.ordinal is not None and turn.text is not None and not to_be_heard:
                self.hearing.waiting.remove(turn)
                if turn.text:
                    self.record_user(Modality.VOICE, turn.ordinal, turn.text, turn.audio_span, turn.wall_span)
                self.out.append(self.hearing.release(turn.utterance))

    def _knows_all(self) -> bool:
        """The words of all turns are in history, but for the one that a speech model is to hear."""
        return all(turn is self._answering for turn in self.hearing.waiting if turn.ordinal is not None)

    def _forget_turn(self, turn: HeardTurn) -> None:
        """No words, or said over a reply without interrupting it: no turn."""
        self.hearing.waiting.remove(turn)
        self.floor.drop_draft()
        self.out.append(self.hearing.release(turn.utterance))
        self.log(Severity.DEBUG, "utterance_ignored", "The caller made a sound that was no turn.")

    def drop_utterance(self, utterance: int) -> None:
        """A sound of the caller's was too short for an utterance, though it may have stopped a reply."""
        self.out.append(self.hearing.release(utterance))
        if not self.hearing.waiting:
            self._resume("", self.turn.activation.heard_s)

    def take_for_turn(self, text: str, speech_s: float) -> None:
        """What the caller said over a reply is a turn: nothing is resumed."""
        if self.resumption.undecided is not None:
            self._tell("turn_over_reply", "The caller took the floor.", text, speech_s)
        self.resumption.forget()

    def _resume(self, text: str, speech_s: float) -> None:
        """Go on with the reply at the word it stopped at."""
        if self.resumption.undecided is None or self.closing:
            return
        self._tell("resumed", "The caller only listened; the agent goes on where it stopped.", text, speech_s)
        line = self.resumption.take()
        if line is not None:
            self.agenda.lines.appendleft(line)

    def _tell(self, kind: str, text: str, said: str, speech_s: float) -> None:
        """What was decided about a reply that the caller's voice has stopped, and why; not what was said."""
        held = self.resumption.undecided
        self.log(
            Severity.INFO,
            kind,
            text,
            ordinal=None if held is None else held.reply.ordinal,
            voice=self.resumption.verdict(said, speech_s).value,
            wordCount=len(said.split()),
            speechMs=round(speech_s * 1000),
        )
