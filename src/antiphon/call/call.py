"""A call: events in, actions out. No clock, no I/O; time is an argument.

``receive(event)`` and ``tick(now)`` take facts in, ``actions()`` gives what is to be done, in order, and
``deadline`` is when ``tick`` must be called at the latest. The parts are machines of their own: the caller's
turn (``endpointing``), the caller's words (``hearing``), the agent's floor (``floor``), what the agent is
about to do (``agenda``) and the counting of silence (``silence``). This file only joins them.
"""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.call import events as ev
from antiphon.call.actions import Action, Emit, End, Keep, OpenUtterance, Prime
from antiphon.call.agenda import APOLOGY, GREETING_NUDGE, Agenda, Line
from antiphon.call.endpointing import (
    FRAME_S,
    Began,
    CallerTurn,
    Confirmed,
    Dropped,
    Paused,
    Phase,
    Resumed,
    TurnEnded,
    TurnFact,
)
from antiphon.call.ends import EndReason
from antiphon.call.floor import Closed, Floor
from antiphon.call.hearing import HeardTurn, Hearing
from antiphon.call.history import History, Prompt, Span, SpokenMessage
from antiphon.call.messages import (
    AgentState,
    CallEvent,
    CallStarted,
    Debug,
    Message,
    Modality,
    Pong,
    Role,
    Severity,
    StateChanged,
    Transcript,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from antiphon.call.reply import Origin, Timings
from antiphon.call.settings import CallSettings, EndBehavior, Greeting
from antiphon.call.silence import Silence

OVERLAP_GAP_FRAMES = 3
"""Silent frames after which overlapping speech is counted anew."""

FAILURES_IN_A_ROW = 3
"""Replies that fail one after the other before the call is given up as ``system_error``."""

MEDIA_IDLE_AT_LEAST_S = 10.0


class Call:
    """The pure core of one call."""

    def __init__(self, settings: CallSettings) -> None:
        self._settings = settings
        self._out: list[Action] = []
        self._history = History(settings.call_id, settings.system_prompt, settings.initial_messages)
        self._turn = CallerTurn(settings.vad, settings.turns, judged=settings.judges_turns)
        self._hearing = Hearing(settings.judges_turns)
        self._floor = Floor(self._history, settings.output_rate, self._out)
        self._floor.modality = settings.modality
        self._agenda = Agenda()
        self._silence = Silence(settings.inactivity)
        self._announced = AgentState.IDLE
        self._joined_at: float | None = None
        self._ending: End | None = None
        self._ended = False
        self._overlap_s = 0.0
        self._overlap_gap = 0
        self._audio_at = 0.0
        self._answering: HeardTurn | None = None
        self._failures = 0

    # What the outside sees

    @property
    def ended(self) -> bool:
        """``End`` has been asked for; nothing follows."""
        return self._ended

    @property
    def state(self) -> AgentState:
        """What the agent is doing."""
        return AgentState.IDLE if self._joined_at is None or self._ended else self._floor.state

    @property
    def messages(self) -> tuple[SpokenMessage, ...]:
        """What has been said and heard, by ordinal."""
        return self._history.messages

    @property
    def deadline(self) -> float | None:
        """When ``tick`` must be called at the latest; ``None``: not before another event."""
        if self._joined_at is None or self._ended:
            return None
        reply = self._floor.reply
        candidates = [
            self._turn.deadline,
            self._agenda.greeting_due if reply is None and not self._caller_has_floor else None,
            self._agenda.close_by,
            self._silence.deadline,
            reply.alive_at + self._settings.turns.reply_patience_s if reply and not reply.stopping else None,
            self._joined_at + self._settings.max_duration_s if self._agenda.closing is None else None,
            self._audio_at + self._media_idle_s if self._media_idle_s else None,
        ]
        return min((time for time in candidates if time is not None), default=None)

    def actions(self) -> list[Action]:
        """What is to be done now, in order; each is given once."""
        taken = list(self._out)
        self._out.clear()
        return taken

    def receive(self, event: ev.Event) -> None:
        """Take one fact in."""
        if self._ended:
            return
        if isinstance(event, ev.Joined):
            self._join(event.at)
        elif self._joined_at is None:
            return
        else:
            self._dispatch(event)
        self._advance(event.at)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._joined_at is None or self._ended:
            return
        self._take_turn_facts(now, self._turn.tick(now))
        self._check_time(now)
        self._advance(now)

    # Events

    def _dispatch(self, event: ev.Event) -> None:
        match event:
            case ev.SpeechScored():
                self._hear(event)
            case ev.TurnJudged(at=at, utterance=utterance, revision=revision, probability=probability):
                self._take_turn_facts(at, self._turn.judge(utterance, revision, probability))
            case ev.Transcribed(at=at, utterance=utterance, revision=revision, text=text):
                self._take_words(at, utterance, revision, text.strip())
            case ev.TranscriptionFailed(at=at, utterance=utterance, revision=revision, reason=reason):
                self._log(Severity.ERROR, "transcription_failed", reason)
                if self._hearing.take_words(utterance, revision, "", at):
                    self._fail(at)
            case ev.UserTextReceived():
                self._take_user_text(event)
            case ev.ForcedMessageReceived():
                self._take_forced_message(event)
            case ev.OutputMediumSet(modality=modality):
                if modality is not self._floor.modality:
                    self._floor.modality = modality
                    self._floor.drop_draft()
            case ev.HangUpReceived(at=at, message=message):
                if message.strip():
                    self._agenda.lines.append(Line(message, interruptible=False, over_caller=True))
                self._close(at, EndReason.AGENT_HANGUP)
            case ev.PingReceived(timestamp=timestamp):
                self._emit(Pong(timestamp))
            case ev.MessageRejected(reason=reason):
                self._emit(Debug(reason))
            case ev.EndRequested(at=at, reason=reason, close_code=code, text=text):
                self._end(at, End(reason, code, text))
            case _:
                self._dispatch_reply(event)

    def _dispatch_reply(self, event: ev.Event) -> None:
        match event:
            case ev.PlayoutStopped(at=at, reply=number, position=position, unplayed=unplayed):
                self._reply_closed(at, self._floor.stopped(at, number, position, unplayed))
                return
            case (
                ev.TextGenerated()
                | ev.GenerationEnded()
                | ev.GenerationFailed()
                | ev.SpeechMade()
                | ev.SpeakingFailed()
                | ev.PlayoutAdvanced()
            ):
                reply = self._floor.find(event.reply)
            case _:
                return
        if reply is None:
            return
        match event:
            case ev.TextGenerated(at=at, delta=delta):
                self._floor.write(at, reply, delta)
            case ev.GenerationEnded(at=at):
                self._floor.finish_writing(at, reply)
            case ev.GenerationFailed(at=at, reason=reason):
                self._log(Severity.ERROR, "generation_failed", reason)
                if reply is self._floor.draft:
                    self._floor.drop_draft()
                else:
                    self._floor.finish_writing(at, reply)
                    if not reply.text:
                        self._fail(at)
            case ev.SpeechMade(at=at, clause=clause, samples=samples, ended=ended):
                self._floor.made(at, reply, clause, samples, ended)
            case ev.SpeakingFailed(clause=clause, reason=reason):
                self._log(Severity.ERROR, "speaking_failed", reason)
                self._out += reply.abandon_from(clause)
            case ev.PlayoutAdvanced(at=at, position=position):
                reply.alive_at = at
                reply.advance(position)

    def _join(self, at: float) -> None:
        if self._joined_at is not None:
            return
        self._joined_at = self._audio_at = self._floor.joined_at = at
        self._emit(CallStarted(self._settings.call_id))
        first = self._settings.first_speaker
        if first.greeting is not None:
            self._agenda.greeting_due = at + first.greeting.delay_s
        if not (first.agent and first.greeting and first.greeting.delay_s == 0):
            self._prime()

    # The caller

    def _hear(self, event: ev.SpeechScored) -> None:
        self._audio_at = event.at
        self._floor.audio_s = event.audio_s
        facts = self._turn.hear(event.at, event.audio_s, event.probability)
        self._count_overlap(event.at, event.probability >= self._settings.vad.activation_threshold)
        self._take_turn_facts(event.at, facts)

    def _count_overlap(self, at: float, speech: bool) -> None:
        reply = self._floor.reply
        if reply is None or not reply.interruptible:
            self._overlap_s = 0.0
            return
        if speech:
            self._overlap_s += FRAME_S
            self._overlap_gap = 0
            if self._overlap_s >= self._settings.vad.interruption_s - 1e-6 and not reply.stopping:
                self._log(Severity.INFO, "interruption", "The caller spoke over the agent.")
                self._stop_reply(at)
        else:
            self._overlap_gap += 1
            if self._overlap_gap >= OVERLAP_GAP_FRAMES:
                self._overlap_s = 0.0

    def _take_turn_facts(self, at: float, facts: Iterable[TurnFact]) -> None:
        for fact in facts:
            match fact:
                case Began(utterance=utterance):
                    self._out.append(OpenUtterance(utterance))
                case Confirmed():
                    self._agenda.greeting_due = None
                    self._silence.caller_was_active()
                    self._emit(UserStartedSpeaking())
                case Dropped(utterance=utterance):
                    self._out.append(self._hearing.release(utterance))
                case Paused(utterance=utterance, revision=revision):
                    self._out += self._hearing.pause(utterance, revision)
                    if self._settings.speech_model:
                        self._draft(at, utterance, None)
                case Resumed():
                    self._floor.drop_draft()
                case TurnEnded(utterance=utterance, revision=revision):
                    self._emit(UserStoppedSpeaking())
                    self._silence.caller_was_active()
                    self._end_turn(utterance, revision)

    def _end_turn(self, utterance: int, revision: int) -> None:
        joined, turn = self._joined_at or 0.0, self._turn
        audio = Span(turn.start_audio_s, turn.speech_end_audio_s)
        wall = Span(turn.start_at - joined, turn.speech_end_at - joined)
        self._hearing.end(HeardTurn(utterance, revision, audio, wall, turn.speech_end_at))

    def _take_words(self, at: float, utterance: int, revision: int, text: str) -> None:
        if not self._hearing.take_words(utterance, revision, text, at):
            return
        pausing = self._turn.phase is Phase.PAUSING and self._turn.utterance == utterance
        if text and pausing and not self._settings.speech_model:
            self._draft(at, utterance, text)

    def _draft(self, at: float, utterance: int, text: str | None) -> None:
        """Begin the answer on suspicion, where nothing else will be said before it."""
        agenda = self._agenda
        if self._floor.reply is not None or agenda.lines or agenda.closing or self._hearing.waiting:
            return
        origin = Origin(utterance, text, self._history.version)
        self._floor.write_draft(at, self._prompt(text), origin, with_audio=text is None)

    def _take_user_text(self, event: ev.UserTextReceived) -> None:
        self._silence.caller_was_active()
        self._agenda.greeting_due = None
        immediate = event.urgency is ev.Urgency.IMMEDIATE
        text = event.text.strip()
        if immediate and (self._floor.reply is None or self._floor.reply.interruptible):
            self._stop_reply(event.at)
        if not text:
            return
        at_s = event.at - (self._joined_at or 0.0)
        audio = Span(self._floor.audio_s, self._floor.audio_s)
        self._record_user(Modality.TEXT, self._history.take_ordinal(), text, audio, Span(at_s, at_s))
        self._floor.drop_draft()
        if event.urgency is not ev.Urgency.LATER:
            self._agenda.owe_answer(over_caller=immediate)

    def _take_forced_message(self, event: ev.ForcedMessageReceived) -> None:
        immediate = event.urgency is ev.Urgency.IMMEDIATE
        if immediate and self._floor.reply is not None and self._floor.reply.interruptible:
            self._stop_reply(event.at)
        if event.text.strip():
            self._agenda.greeting_due = None
            line = Line(event.text, interruptible=not event.uninterruptible, over_caller=immediate)
            (self._agenda.lines.appendleft if immediate else self._agenda.lines.append)(line)

    def _record_user(self, modality: Modality, ordinal: int, text: str, audio: Span, wall: Span) -> None:
        message = SpokenMessage(Role.USER, modality, ordinal, text, audio, wall)
        self._history.add(message)
        self._emit(Transcript(Role.USER, modality, ordinal, final=True, text=text))
        self._out.append(Keep(message))

    # The floor

    @property
    def _caller_has_floor(self) -> bool:
        speaking = self._turn.phase is not Phase.QUIET and self._turn.confirmed
        return speaking or (bool(self._hearing.waiting) and not self._settings.speech_model)

    def _advance(self, at: float) -> None:
        """Do what has become possible, until nothing more is."""
        while not self._ended:
            self._floor.show()
            if (closed := self._floor.close_if_heard(at)) is not None:
                self._reply_closed(at, closed)
            elif self._floor.ready_to_play():
                self._floor.begin_playing()
                self._announce()
                self._floor.play(at)
            elif not self._take_floor(at):
                break
            self._announce()
        self._announce()
        if self._floor.reply is None and not self._caller_has_floor and not self._agenda.lines:
            self._silence.quiet(at)
        else:
            self._silence.busy()

    def _take_floor(self, at: float) -> bool:
        """Begin the next reply if the floor is free and one is wanted."""
        self._take_whole_turns(at)
        agenda, floor = self._agenda, self._floor
        if floor.reply is not None or self._ending is not None:
            return False
        if agenda.lines and (agenda.lines[0].over_caller or agenda.closing or not self._caller_has_floor):
            floor.say(at, agenda.lines.popleft())
            return True
        if agenda.closing:
            self._end(at, End(agenda.closing, 1000, agenda.closing.value))
            return False
        if agenda.answer_owed and (agenda.answer_over_caller or not self._caller_has_floor):
            self._answer(at)
            return True
        if agenda.greeting_due is not None and at >= agenda.greeting_due and not self._caller_has_floor:
            self._greet(at)
            return True
        return False

    def _take_whole_turns(self, at: float) -> None:
        """Put turns whose words are known into history, unless an uninterruptible reply is to be heard first."""
        hears_itself = self._settings.speech_model
        for turn in list(self._hearing.waiting):
            if turn.text is None and not hears_itself:
                break
            if turn.ordinal is None:
                reply = self._floor.reply
                if reply is not None and (reply.stopping or not reply.interruptible):
                    break
                if reply is not None or turn.text == "" or self._agenda.closing:
                    self._forget_turn(turn)
                    continue
                turn.ordinal = self._history.take_ordinal()
                self._answering = turn
                self._agenda.owe_answer()
            if turn.text is not None:
                self._hearing.waiting.remove(turn)
                if turn.text:
                    self._record_user(Modality.VOICE, turn.ordinal, turn.text, turn.audio_span, turn.wall_span)
                self._out.append(self._hearing.release(turn.utterance))

    def _forget_turn(self, turn: HeardTurn) -> None:
        """No words, or said over a reply without interrupting it: no turn."""
        self._hearing.waiting.remove(turn)
        self._floor.drop_draft()
        self._out.append(self._hearing.release(turn.utterance))
        self._log(Severity.DEBUG, "utterance_ignored", "The caller made a sound that was no turn.")

    def _answer(self, at: float) -> None:
        turn, self._answering = self._answering, None
        self._agenda.paid()
        timings = Timings(committed=at)
        if turn is not None:
            timings.speech_ended, timings.transcribed = turn.ended_at, turn.transcribed_at
        draft = self._floor.draft
        if turn is not None and draft is not None and draft.modality is self._floor.modality:
            recorded = 0 if self._settings.speech_model else 1
            text = None if self._settings.speech_model else turn.text
            if draft.origin == Origin(turn.utterance, text, self._history.version - recorded):
                self._floor.commit_draft(at, timings)
                return
        audio_of = turn.utterance if turn is not None and self._settings.speech_model else None
        self._floor.answer(at, self._prompt(), timings, audio_of)

    def _greet(self, at: float) -> None:
        greeting = self._settings.first_speaker.greeting or Greeting()
        self._agenda.greeting_due = None
        interruptible = not greeting.uninterruptible
        if greeting.text:
            self._floor.say(at, Line(greeting.text, interruptible=interruptible))
            return
        nudge = greeting.prompt
        if nudge is None and self._settings.greeting_prompt and not self._history.ends_with_user():
            nudge = GREETING_NUDGE
        self._floor.answer(at, self._prompt(nudge), Timings(committed=at), interruptible=interruptible)

    def _stop_reply(self, at: float) -> None:
        self._reply_closed(at, self._floor.stop_reply(at))

    def _reply_closed(self, at: float, closed: Closed | None) -> None:
        if closed is None:
            return
        self._overlap_s = 0.0
        reply = closed.reply
        if reply.playing and not closed.cut:
            self._failures = 0
        elif reply.failed and not reply.playing:
            self._fail(at, apologise=False)
        if reply.end is EndBehavior.HANG_UP_STRICT or (reply.end is EndBehavior.HANG_UP_SOFT and not closed.cut):
            self._close(at, EndReason.AGENT_HANGUP)
        if self._ending is not None:
            self._finish()
        elif reply.playing:
            self._prime()

    # Time and ends

    def _check_time(self, now: float) -> None:
        agenda, settings = self._agenda, self._settings
        joined = self._joined_at or 0.0
        reply = self._floor.reply
        if agenda.close_by is not None and now >= agenda.close_by and agenda.closing is not None:
            self._end(now, End(agenda.closing, 1000, agenda.closing.value))
        elif agenda.closing is None and now >= joined + settings.max_duration_s:
            agenda.lines.clear()
            if settings.time_exceeded_message:
                agenda.lines.append(Line(settings.time_exceeded_message, interruptible=False, over_caller=True))
            self._close(now, EndReason.TIMEOUT)
            self._stop_reply(now)
        if self._media_idle_s and now >= self._audio_at + self._media_idle_s:
            self._end(now, End(EndReason.CONNECTION_ERROR, 1001, "no audio came for too long"))
        if reply is not None and not reply.stopping and now >= reply.alive_at + settings.turns.reply_patience_s:
            self._log(Severity.ERROR, "engine_stalled", "A reply made no progress and was given up.")
            self._stop_reply(now)
            self._fail(now)
        if (message := self._silence.due(now)) is not None:
            agenda.lines.append(Line(message.text, end=message.end))

    @property
    def _media_idle_s(self) -> float | None:
        wanted = self._settings.media_idle_s
        return None if wanted is None else max(wanted, MEDIA_IDLE_AT_LEAST_S)

    def _close(self, at: float, reason: EndReason) -> None:
        """End the call once the last words are said."""
        self._floor.drop_draft()
        self._agenda.close(reason, at + self._settings.turns.farewell_patience_s)

    def _fail(self, at: float, *, apologise: bool = True) -> None:
        """Something of ours broke: say so, and give the call up if it goes on."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._end(at, End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer"))
        elif apologise and not self._agenda.closing:
            self._agenda.lines.appendleft(Line(APOLOGY))

    def _end(self, at: float, end: End) -> None:
        """End now. What was heard of a reply is put on record first; the first reason stands."""
        if self._ending is not None:
            return
        closing = self._agenda.closing
        self._ending = end if closing is None else End(closing, end.close_code, end.text)
        self._floor.drop_draft()
        self._stop_reply(at)
        if self._floor.reply is None:
            self._finish()

    def _finish(self) -> None:
        if self._ended or self._ending is None:
            return
        while (turn := self._hearing.pop_whole()) is not None:
            if turn.text:
                ordinal = self._history.take_ordinal() if turn.ordinal is None else turn.ordinal
                self._record_user(Modality.VOICE, ordinal, turn.text, turn.audio_span, turn.wall_span)
        self._ended = True
        self._out.append(self._ending)

    # Small things

    def _prompt(self, user_text: str | None = None) -> Prompt:
        return self._history.prompt(self._settings.temperature, self._settings.language, user_text)

    def _prime(self) -> None:
        if not self._agenda.closing:
            self._out.append(Prime(self._prompt()))

    def _announce(self) -> None:
        if self.state is not self._announced and not self._ended:
            self._announced = self.state
            self._emit(StateChanged(self._announced))

    def _log(self, severity: Severity, kind: str, text: str) -> None:
        self._emit(CallEvent(severity, kind, text))

    def _emit(self, message: Message) -> None:
        self._out.append(Emit(message))
