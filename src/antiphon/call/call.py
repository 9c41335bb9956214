"""A call: events in, actions out. No clock, no I/O; time is an argument.

``receive(event)`` and ``tick(now)`` take facts in, ``actions()`` gives what is to be done, in order, and
``deadline`` is when ``tick`` must be called at the latest. The parts are machines of their own: the caller's
turn (``endpointing``), the caller's words (``hearing``), the agent's floor (``floor``), what the agent is
about to do (``agenda``), the counting of silence (``silence``), and what joins them (``caller``,
``conversation``), beside it side threads (``threads``). This file only says which fact goes where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.call import events as ev
from antiphon.call.actions import Action, End
from antiphon.call.ends import EndReason
from antiphon.call.history import History, KeptMessage
from antiphon.call.messages import AgentState, CallStarted, Severity
from antiphon.call.rules.caller_input import Caller
from antiphon.call.rules.next_reply import Conversation
from antiphon.call.rules.thread_routing import Post
from antiphon.call.settings import CallSettings
from antiphon.call.speaking.agenda import Line
from antiphon.call.speaking.backchannel import Held
from antiphon.call.supply import Supply
from antiphon.call.threads.thread import Thread
from antiphon.call.threads.threads import Threads
from antiphon.call.tools import outcomes

MEDIA_IDLE_AT_LEAST_S = 10.0

_OF_A_REPLY = (ev.PlayoutAdvanced, ev.SpeechMade, ev.TextGenerated)
"""Events that come many times for each reply."""

_STILL_TAKEN = (ev.Transcribed, ev.TranscriptionFailed, ev.PlayoutStopped)
"""Events that are of interest while a call is ending: what was said before."""


class Call:
    """The pure core of one call."""

    def __init__(self, settings: CallSettings) -> None:
        self._settings = settings
        self._out: list[Action] = []
        self._talk = Conversation(settings, self._out)
        self._caller = Caller(self._talk)
        self._post = Post(self._talk, self._caller)
        self._supply = Supply()

    @property
    def ended(self) -> bool:
        """``End`` has been asked for; nothing follows."""
        return self._talk.ended

    @property
    def state(self) -> AgentState:
        """What the agent is doing."""
        return self._talk.state

    @property
    def messages(self) -> tuple[KeptMessage, ...]:
        """What has been said and heard, by ordinal."""
        return self._talk.history.messages

    @property
    def history(self) -> History:
        """What the agent knows of the conversation, to be looked at."""
        return self._talk.history

    @property
    def call_state(self) -> Mapping[str, Any]:
        """What tools read and change."""
        return self._talk.tools.state

    @property
    def threads(self) -> Threads:
        """The side threads, to be looked at."""
        return self._talk.threads

    @property
    def deadline(self) -> float | None:
        """When ``tick`` must be called at the latest; ``None``: not before another event."""
        if self._talk.joined_at is None or self._talk.ended:
            return None
        if self._talk.ending:
            return self._talk.last_words_by
        reply = self._talk.floor.reply
        candidates = [
            self._talk.hearing.words_by,
            self._talk.turn.deadline,
            self._talk.agenda.greeting_due if reply is None and not self._talk.caller_has_floor else None,
            self._talk.agenda.close_by,
            self._talk.silence.deadline,
            self._talk.tools.deadline,
            self._talk.threads.deadline,
            self._talk.watchdog.deadline,
            self._supply.look_at,
            self._talk.agenda.apology_due,
            reply.given_up_at(self._settings.turns) if reply and not reply.stopping else None,
            self._talk.joined_at + self._settings.max_duration_s if self._talk.agenda.closing is None else None,
            self._caller.audio_at + self._media_idle_s if self._media_idle_s else None,
        ]
        return min((time for time in candidates if time is not None), default=None)

    def actions(self) -> list[Action]:
        """What is to be done now, in order; each is given once."""
        if not self._out:
            return []
        taken = list(self._out)
        self._out.clear()
        return taken

    def receive(self, event: ev.Event) -> bool:
        """Take one fact in. ``False``: nothing has become possible by it, and ``deadline`` need not be asked for anew.

        Nearly all are of that kind: a frame of the caller's audio thirty times a second, and each word of a reply, each
        piece of its sound, each report of how much was heard. A deadline that they move is later by them, but for that
        of the caller's turn: a gap between packets counts for less with each frame, and it need not be that exact.
        """
        talk = self._talk
        if talk.ended or (talk.joined_at is None and not isinstance(event, ev.Joined)):
            return False
        if isinstance(event, ev.SpeechScored):
            if talk.ending or not self._caller.hear(event):
                return False
        elif talk.ending and not isinstance(event, _STILL_TAKEN):
            pass
        elif isinstance(event, _OF_A_REPLY):
            self._move_reply(event)
            if talk.passes(event.at):
                return False
        elif isinstance(event, ev.Joined):
            self._join(event.at)
        else:
            self._dispatch(event)
        self._advance(event.at)
        return True

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._talk.joined_at is None or self._talk.ended:
            return
        if self._talk.ending:
            if now >= (self._talk.last_words_by or now):
                self._talk.finish()
            return
        self._caller.take_facts(now, self._talk.turn.tick(now))
        self._caller.give_up_late_words(now)
        self._check_time(now)
        self._advance(now)

    def _advance(self, at: float) -> None:
        """Do what has become possible: what tools have sent to threads is there before anybody answers anything."""
        self._post.collect(at)
        self._talk.advance(at)
        while self._post.waiting and not self._talk.ending:
            self._post.collect(at)
            self._talk.advance(at)
        if not self._talk.ending:
            self._talk.threads.advance(at)

    def _dispatch(self, event: ev.Event) -> None:
        match event:
            case ev.TurnJudged(at=at, utterance=utterance, revision=revision, probability=probability):
                self._caller.take_facts(at, self._talk.turn.judge(utterance, revision, probability))
            case ev.Transcribed():
                self._caller.take_words(event)
            case ev.TranscriptionFailed(at=at, utterance=utterance, revision=revision, reason=reason):
                self._caller.words_failed(at, utterance, revision, reason)
            case ev.UserTextReceived(thread=outcomes.MAIN_THREAD):
                self._caller.take_text(event)
            case ev.ForcedMessageReceived(thread=outcomes.MAIN_THREAD):
                self._caller.take_forced_message(event)
            case ev.OutputMediumSet(modality=modality):
                if modality is not self._talk.floor.modality:
                    self._talk.floor.modality = modality
                    self._talk.floor.drop_draft()
            case ev.ToolReturned(at=at, invocation=invocation, outcome=outcome):
                theirs = not self._talk.tools.knows(invocation)
                if not (theirs and self._talk.threads.returned(at, invocation, outcome)):
                    self._talk.tools.returned(at, invocation, outcome)
            case ev.StagePrepared(at=at, invocation=invocation, outcome=outcome):
                self._talk.tools.prepared(at, invocation, outcome)
            case ev.HangUpReceived(at=at, message=message):
                if message.strip():
                    self._talk.agenda.lines.append(Line(message, interruptible=False, over_caller=True))
                self._talk.close(at, EndReason.AGENT_HANGUP)
            case ev.EngineFellBack(stage=stage, engine=engine, fallback=other, reason=reason):
                self._talk.log(Severity.WARNING, "engine_fallback", reason, stage=stage, engine=engine, fallback=other)
            case ev.EndRequested(at=at, reason=reason, close_code=code, text=text, note=note):
                if note is not None and not self._talk.ending:
                    self._talk.emit(note)
                self._talk.end(at, End(reason, code, text))
            case _:
                self._dispatch_reply(event)
                self._dispatch_thread(event)

    def _dispatch_thread(self, event: ev.Event) -> None:
        """What concerns side threads."""
        threads = self._talk.threads
        match event:
            case ev.SpawnRequested(at=at, spawn=spawn):
                self._post.send(at, spawn)
            case ev.UserTextReceived(at=at, text=text, urgency=urgency, thread=thread_id):
                threads.receive(at, outcomes.UserText(thread_id, text, urgency))
            case ev.ForcedMessageReceived(at=at, text=text, wants=wants, known=known, thread=thread_id):
                threads.receive(at, outcomes.ForcedMessage(thread_id, text, wants=wants, known=known))
            case ev.ThreadTextWritten() | ev.ThreadToolRequested() | ev.ThreadTextEnded() | ev.ThreadTextFailed():
                thread = threads.generating(event.generation)
                if thread is not None:
                    _take_thread(thread, event)

    def _move_reply(self, event: ev.PlayoutAdvanced | ev.SpeechMade | ev.TextGenerated) -> None:
        """There are more words of a reply, there is more sound of it, or more of it was heard."""
        floor, at = self._talk.floor, event.at
        if isinstance(event, ev.TextGenerated):
            reply = floor.find_written(event.reply)
            if reply is not None:
                floor.write(at, reply, event.delta)
            elif (held := self._talk.resumption.find(event.reply)) is not None:
                held.write(at, event.delta)
            return
        reply = floor.find(event.reply)
        if reply is None:
            return
        if isinstance(event, ev.SpeechMade):
            floor.made(reply, event)
            return
        if event.position > reply.position:  # sound that has run out is no sign of life
            reply.alive_at = at
        reply.advance(at, event.position)
        self._out += reply.hurry()

    def _dispatch_reply(self, event: ev.Event) -> None:
        match event:
            case ev.PlayoutStopped(at=at, reply=number, position=position, unplayed=unplayed):
                self._talk.reply_closed(at, self._talk.floor.stopped(at, number, position, unplayed))
                return
            case ev.GenerationEnded() | ev.GenerationFailed() | ev.GenerationAlive() | ev.ToolRequested():
                reply = self._talk.floor.find_written(event.reply)
                if reply is None and (held := self._talk.resumption.find(event.reply)) is not None:
                    self._write_held(held, event)
            case ev.SpeakingFailed():
                reply = self._talk.floor.find(event.reply)
            case _:
                return
        if reply is None:
            return
        match event:
            case ev.GenerationAlive(at=at):
                reply.alive_at = at
            case ev.GenerationEnded(at=at):
                self._talk.floor.finish_writing(at, reply)
            case ev.GenerationFailed(at=at, reason=reason):
                self._talk.log(Severity.ERROR, "generation_failed", reason)
                if reply is self._talk.floor.draft:
                    self._talk.floor.drop_draft()
                else:
                    reply.broken_off = True
                    self._talk.floor.finish_writing(at, reply)
            case ev.ToolRequested(at=at, request=request):
                reply.alive_at = at
                if reply.committed:
                    self._talk.tools.request(at, reply.number, request)
                else:
                    reply.wants.append(request)
            case ev.SpeakingFailed(clause=clause, reason=reason):
                self._talk.log(Severity.ERROR, "speaking_failed", reason)
                self._out += reply.abandon_from(clause)

    def _write_held(self, held: Held, event: ev.Event) -> None:
        """The model goes on with a reply that the caller may have stopped for nothing."""
        match event:
            case ev.ToolRequested(request=request):
                held.wants.append(request)
            case ev.GenerationEnded():
                held.finish_writing()
            case ev.GenerationFailed(reason=reason):
                self._talk.log(Severity.ERROR, "generation_failed", reason)
                held.finish_writing()

    def _join(self, at: float) -> None:
        if self._talk.joined_at is not None:
            return
        self._talk.joined_at = self._caller.audio_at = self._talk.floor.joined_at = self._talk.tools.joined_at = at
        self._supply.begin(at)
        self._talk.emit(CallStarted(self._settings.call_id))
        first = self._settings.first_speaker
        if first.greeting is not None:
            self._talk.agenda.greeting_due = at + first.greeting.delay_s
        generates_at_once = first.greeting is not None and not first.greeting.text and first.greeting.delay_s == 0
        if not generates_at_once:
            self._talk.prime()

    def _check_time(self, now: float) -> None:
        agenda, settings = self._talk.agenda, self._settings
        joined = self._talk.joined_at or 0.0
        if agenda.close_by is not None and now >= agenda.close_by and agenda.closing is not None:
            self._talk.end(now, End(agenda.closing, 1000, agenda.closing.value))
        elif agenda.closing is None and now >= joined + settings.max_duration_s:
            agenda.lines.clear()
            if settings.time_exceeded_message:
                agenda.lines.append(Line(settings.time_exceeded_message, interruptible=False, over_caller=True))
            self._talk.close(now, EndReason.TIMEOUT)
            self._talk.stop_reply(now)
        if (behind_s := self._supply.look(now, self._talk.floor.audio_s)) is not None:
            text = f"The client's audio is {behind_s:.1f} s behind real time; send a second of it each second."
            self._talk.log(Severity.WARNING, "audio_underflow", text, behindMs=round(behind_s * 1000))
        if self._media_idle_s and now >= self._caller.audio_at + self._media_idle_s:
            self._talk.end(now, End(EndReason.CONNECTION_ERROR, 1001, "no audio came for too long"))
        reply = self._talk.floor.reply
        if reply is not None and not reply.stopping and now >= reply.given_up_at(settings.turns):
            self._talk.give_up_reply(now, reply)
        if agenda.apology_due is not None and now >= agenda.apology_due:
            self._talk.apologise_again()
        self._talk.tools.give_up(now)
        self._talk.threads.give_up(now)
        if (bitten := self._talk.watchdog.bites(now)) is not None:
            self._talk.free(now, *bitten)
        if not self._talk.closing and (message := self._talk.silence.due(now)) is not None:
            agenda.lines.append(Line(message.text, end=message.end))

    @property
    def _media_idle_s(self) -> float | None:
        wanted = self._settings.media_idle_s
        return None if wanted is None else max(wanted, MEDIA_IDLE_AT_LEAST_S)


def _take_thread(
    thread: Thread, event: ev.ThreadTextWritten | ev.ThreadToolRequested | ev.ThreadTextEnded | ev.ThreadTextFailed
) -> None:
    match event:
        case ev.ThreadTextWritten(at=at, delta=delta):
            thread.wrote(at, delta)
        case ev.ThreadToolRequested(at=at, request=request):
            thread.requested(at, request)
        case ev.ThreadTextEnded():
            thread.ended(event)
        case ev.ThreadTextFailed(reason=reason):
            thread.broke(reason)
