"""The caller's side: frames and written words in, turns and interruptions out."""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.call import events as ev
from antiphon.call.actions import OpenUtterance
from antiphon.call.history import Span
from antiphon.call.listening.barge_in import Overlap
from antiphon.call.listening.completeness import Ending, ending
from antiphon.call.listening.endpointing import (
    Began,
    Checked,
    Confirmed,
    Dropped,
    Grounds,
    Paused,
    Phase,
    Resumed,
    TurnEnded,
    TurnFact,
)
from antiphon.call.listening.transcripts import HeardTurn
from antiphon.call.messages import Modality, Severity, UserStartedSpeaking, UserStoppedSpeaking
from antiphon.call.rules.next_reply import Conversation
from antiphon.call.speaking.agenda import Line
from antiphon.call.speaking.reply import Origin


class Caller:
    """What the caller says and writes, put to a conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self.audio_at = 0.0
        """When audio last came, on the call's clock."""
        self._overlap = Overlap(conversation.settings.vad)
        self._words = (0, "")
        """What was last known of the words of an utterance."""

    def hear(self, event: ev.SpeechScored) -> bool:
        """One scored frame of the caller's audio. False: nothing follows from it, as from most."""
        at, turn, floor = event.at, self._talk.turn, self._talk.floor
        self.audio_at = at
        floor.audio_s = event.audio_s
        facts = turn.hear(at, event.audio_s, event.probability)
        interrupts = self._overlap.hear(event, floor.reply, turn)
        if interrupts:
            self._talk.interrupt(at, "voice", self._overlap.speech_s)
        if facts:
            self.take_facts(at, facts)
        return interrupts or bool(facts)

    def take_facts(self, at: float, facts: Iterable[TurnFact]) -> None:
        """What the turn machine made of the caller's sound, or of its absence."""
        for fact in facts:
            match fact:
                case Began(utterance=utterance):
                    self._talk.out.append(OpenUtterance(utterance))
                case Confirmed():
                    self._talk.silence.caller_was_active()
                    self._talk.emit(UserStartedSpeaking())
                case Dropped(utterance=utterance):
                    self._talk.drop_utterance(utterance)
                case Paused(utterance=utterance, revision=revision):
                    self._talk.out += self._talk.hearing.pause(utterance, revision)
                    if self._talk.settings.speech_model:
                        self._draft(at, utterance, None)
                case Resumed():
                    self._talk.floor.drop_draft()
                case Checked(utterance=utterance, revision=revision):
                    self._talk.out += self._talk.hearing.ask(utterance, revision)
                case TurnEnded(utterance=utterance, revision=revision, cut=cut, grounds=grounds):
                    self._talk.emit(UserStoppedSpeaking())
                    self._explain(grounds)
                    self._talk.silence.caller_was_active()
                    self._talk.end_turn(at, utterance, revision, cut=cut)

    def _explain(self, grounds: Grounds) -> None:
        """Why the turn is over now and was not before."""
        certainty = grounds.completeness
        self._talk.log(
            Severity.DEBUG,
            "turn_ended",
            "The caller's turn was held to be over.",
            reason=grounds.reason,
            silenceMs=round(grounds.silence_s * 1000),
            completeness=None if certainty is None else round(certainty, 3),
            words=grounds.words.value,
        )

    def take_words(self, event: ev.Transcribed) -> None:
        """The words of an utterance have come."""
        at, utterance, text = event.at, event.utterance, event.text.strip()
        if not self._talk.hearing.take_words(utterance, event.revision, text, at):
            return
        pausing = self._talk.turn.phase is Phase.PAUSING and self._talk.turn.utterance == utterance
        if text and pausing and not self._only_listens(text):
            turn = self._talk.turn  # no need to wait for its end: the model has something better to do
            self._talk.take_for_turn(text, turn.speech_end_audio_s - turn.start_audio_s)
            if not self._talk.settings.speech_model:
                self._draft(at, utterance, text)
        english = (self._talk.stage.language or "en").lower().startswith("en")
        self._read(at, utterance, event.revision, ending(text, event.ends, english=english))
        if not self._talk.ending:
            self._tell_from_noise(at, utterance, event.revision, text)

    def _tell_from_noise(self, at: float, utterance: int, revision: int, text: str) -> None:
        """What goes on without words, or without new ones, is noise; words tell speech from a noise as loud."""
        turn, reply = self._talk.turn, self._talk.floor.reply
        before, self._words = self._words, (utterance, text)
        if not text:
            self.take_facts(at, turn.wordless(utterance, revision))
        elif before == self._words and turn.activation.noisy:
            self.take_facts(at, turn.nothing_new(utterance, revision))
        over_reply = reply is not None and reply.interruptible and turn.start_at >= reply.began_at
        if text and turn.activation.noisy and over_reply and utterance == turn.utterance:
            self._talk.interrupt(at, "words", turn.speech_end_audio_s - turn.start_audio_s)

    def _read(self, at: float, utterance: int, revision: int, words: Ending) -> None:
        if not self._talk.ending:  # else the turn has been ended already
            self.take_facts(at, self._talk.turn.read(utterance, revision, words))

    def _only_listens(self, text: str) -> bool:
        turn = self._talk.turn
        return self._talk.resumption.listens(text, turn.speech_end_audio_s - turn.start_audio_s)

    def _draft(self, at: float, utterance: int, text: str | None) -> None:
        """Begin the answer on suspicion, where nothing else will be said before it."""
        agenda = self._talk.agenda
        if (
            self._talk.tools.busy
            or self._talk.floor.reply is not None
            or agenda.lines
            or agenda.closing
            or self._talk.hearing.waiting
        ):
            return
        origin = Origin(utterance, text, self._talk.history.version)
        self._talk.floor.write_draft(at, self._talk.prompt(text), origin, with_audio=text is None)

    def take_text(self, event: ev.UserTextReceived) -> None:
        """The client wrote on the caller's behalf."""
        self._talk.silence.caller_was_active()
        self._talk.agenda.greeting_due = None
        immediate = event.urgency is ev.Urgency.IMMEDIATE
        text = event.text.strip()
        if immediate and (self._talk.floor.reply is None or self._talk.floor.reply.interruptible):
            self._talk.stop_reply(event.at)
        if immediate or text:
            self._talk.resumption.forget()  # the client has decided: no resuming
        if not text:
            return
        reply = self._talk.floor.reply
        if reply is not None and reply.stopping:
            # What was heard of the reply is on record before the words that cut it.
            self._talk.after_stop.append(lambda: self._record_text(event, text))
        else:
            self._record_text(event, text)

    def _record_text(self, event: ev.UserTextReceived, text: str) -> None:
        at_s = event.at - (self._talk.joined_at or 0.0)
        audio = Span(self._talk.floor.audio_s, self._talk.floor.audio_s)
        self._talk.record_user(Modality.TEXT, self._talk.history.take_ordinal(), text, audio, Span(at_s, at_s))
        self._talk.floor.drop_draft()
        if event.urgency is not ev.Urgency.LATER:
            self._talk.agenda.owe_answer(over_caller=event.urgency is ev.Urgency.IMMEDIATE)

    def take_forced_message(self, event: ev.ForcedMessageReceived) -> None:
        """The program around the call wants something said."""
        immediate = event.urgency is ev.Urgency.IMMEDIATE
        if immediate and self._talk.floor.reply is not None and self._talk.floor.reply.interruptible:
            self._talk.stop_reply(event.at)
        if event.text.strip() or event.wants:
            self._talk.resumption.forget()
            self._talk.agenda.greeting_due = None
            line = Line(
                event.text,
                interruptible=not event.uninterruptible,
                over_caller=immediate,
                wants=event.wants,
                known=event.known,
                insists=True,
            )
            (self._talk.agenda.lines.appendleft if immediate else self._talk.agenda.lines.append)(line)

    def words_failed(self, at: float, utterance: int, revision: int, reason: str) -> None:
        """The transcriber has failed on a revision: it may try once more when the caller has ended on that one."""
        turn = self._talk.hearing.awaited(utterance, revision)
        if turn is not None and turn.asked_again:
            self._give_up_words(at, turn, "transcription_failed", reason)
            return
        self._talk.log(Severity.WARNING, "transcription_failed", reason)
        if turn is not None:
            self._talk.out += self._talk.hearing.ask_again(turn)
        else:
            self._talk.hearing.lose_words(utterance, revision)
            self._read(at, utterance, revision, Ending.NONE)

    def give_up_late_words(self, now: float) -> None:
        """The caller does not wait for ever for a transcriber that gives no answer."""
        for turn in self._talk.hearing.waiting:
            if turn.text is None and now >= turn.words_by:
                self._give_up_words(now, turn, "engine_stalled", "The transcriber gave no answer and was given up.")

    def _give_up_words(self, at: float, turn: HeardTurn, kind: str, reason: str) -> None:
        self._talk.log(Severity.ERROR, kind, reason)
        turn.text, turn.transcribed_at = "", at
        if not self._talk.settings.speech_model:
            self._talk.fail(at)
