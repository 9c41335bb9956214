"""Who has the floor, and what follows: the agent's next reply, its failures, the end of the call.

Everything here happens in :meth:`Conversation.advance`, which is called after every fact and does what has
become possible, until nothing more is.
"""

from __future__ import annotations

from collections.abc import Callable

from antiphon.call.actions import Action, Emit, End, Keep, Prime
from antiphon.call.agenda import APOLOGY, GREETING_NUDGE, Agenda, Line
from antiphon.call.backchannel import Resumption
from antiphon.call.endpointing import CallerTurn, Phase
from antiphon.call.ends import EndReason
from antiphon.call.floor import Closed, Floor
from antiphon.call.hearing import HeardTurn, Hearing
from antiphon.call.history import History, Prompt, Span, SpokenMessage
from antiphon.call.messages import AgentState, CallEvent, Message, Modality, Role, Severity, StateChanged, Transcript
from antiphon.call.reply import Origin, Reply, Timings
from antiphon.call.settings import CallSettings, EndBehavior, Greeting
from antiphon.call.silence import Silence
from antiphon.call.tools import ToolOutcome
from antiphon.call.toolwork import Invocation, Toolwork, judge

MOST_ROUNDS = 8
"""Times in a row that the agent may use tools without the caller saying anything."""

FAILURES_IN_A_ROW = 3
"""Replies that fail one after the other before the call is given up as ``system_error``."""


class Conversation:
    """The joint state of one call's machines. What is to be done is appended to ``out``."""

    def __init__(self, settings: CallSettings, out: list[Action]) -> None:
        self.settings = settings
        self.out = out
        self.history = History(settings.call_id, settings.system_prompt, settings.initial_messages, settings.tools)
        self.tools = Toolwork(settings.tools, self.history, out)
        self.call_state = dict(settings.initial_state)
        self.turn = CallerTurn(settings.vad, settings.turns, judged=settings.judges_turns)
        self.hearing = Hearing(settings.judges_turns)
        self.floor = Floor(self.history, settings.output_rate, out)
        self.floor.modality = settings.modality
        self.agenda = Agenda()
        self.silence = Silence(settings.inactivity)
        self.joined_at: float | None = None
        self.ended = False
        self._announced = AgentState.IDLE
        self._ending: End | None = None
        self.last_words_by: float | None = None
        """When the call ends at the latest, once it is ending."""
        self._answering: HeardTurn | None = None
        self._failures = 0
        self._rounds = 0
        self.resumption = Resumption(settings.backchannels)
        self.after_stop: list[Callable[[], None]] = []
        """What waits for a reply to have stopped."""
        self.last_at = 0.0

    @property
    def state(self) -> AgentState:
        """What the agent is doing."""
        if self.joined_at is None or self.ended:
            return AgentState.IDLE
        if self.floor.reply is None and self.tools.busy:
            return AgentState.THINKING
        return self.floor.state

    @property
    def ending(self) -> bool:
        """Only the caller's last words are still awaited."""
        return self._ending is not None

    @property
    def closing(self) -> bool:
        """Nothing the caller says is answered any more."""
        return self.agenda.closing is not None or self.ending

    @property
    def caller_has_floor(self) -> bool:
        """The caller speaks, or has spoken and the words are still to come."""
        speaking = self.turn.phase is not Phase.QUIET and self.turn.confirmed
        return speaking or (bool(self.hearing.waiting) and not self.settings.speech_model)

    def advance(self, at: float) -> None:
        """Do what has become possible, until nothing more is."""
        self.last_at = at
        self.tools.audio_s = self.floor.audio_s
        if self.after_stop and (self.floor.reply is None or not self.floor.reply.stopping):
            waiting, self.after_stop = self.after_stop, []
            for work in waiting:
                work()
        while not self.ended:
            self.floor.show()
            if self.ending:
                self._take_whole_turns()
                if self.floor.reply is None and not self.hearing.waiting:
                    self.finish()
                break
            if (closed := self.floor.close_if_heard(at)) is not None:
                self.reply_closed(at, closed)
                if not closed.reply.playing:
                    continue  # nobody heard of it: what follows it follows at once
            elif self.floor.ready_to_play():
                self.floor.begin_playing()
                self._announce()
                self.floor.play(at)
            elif settled := self.tools.take_settled():
                self._react(at, settled)
                continue  # an answer to the results follows at once
            elif not self._take_floor(at):
                break
            self._announce()
        self._announce()
        if self.floor.reply is None and not self.caller_has_floor and not self.agenda.lines and not self.tools.busy:
            self.silence.quiet(at)
        else:
            self.silence.busy()

    def _take_floor(self, at: float) -> bool:
        """Begin the next reply, or the end, if the floor is free and one is wanted."""
        self._take_whole_turns()
        agenda, floor = self.agenda, self.floor
        if floor.reply is not None:
            return False
        if agenda.lines and self._may_say(agenda.lines[0]):
            line = agenda.lines.popleft()
            reply = floor.say(at, line)
            for request in line.wants:
                self.tools.request(at, reply.number, request, line.known.get(request.invocation))
            return True
        if self.tools.busy:
            return False
        if agenda.closing:
            self.end(at, End(agenda.closing, 1000, agenda.closing.value))
            return True
        if agenda.answer_owed and (agenda.answer_over_caller or not self.caller_has_floor) and self._knows_all():
            self._answer(at)
            return True
        if agenda.greeting_due is not None and at >= agenda.greeting_due and not self.caller_has_floor:
            self._greet(at)
            return True
        return False

    def _may_say(self, line: Line) -> bool:
        """While a tool runs the agent is silent, unless somebody insists; and it lets the caller finish."""
        return line.over_caller or not (self.tools.busy or (self.caller_has_floor and not self.agenda.closing))

    def _react(self, at: float, settled: list[Invocation]) -> None:
        """All tools have answered: speak, listen, or hang up."""
        verdict = judge(settled)
        self.call_state.update(verdict.state)
        if verdict.hang_up is not None:
            self._hang_up(at, verdict.hang_up)
            return
        self._rounds += 1
        if verdict.speaks and self._rounds > MOST_ROUNDS:
            self.log(Severity.ERROR, "tools_without_end", "The model used tools over and over without a word.")
            self.agenda.lines.append(Line(APOLOGY))
        elif verdict.speaks:
            self.agenda.owe_answer()

    def _hang_up(self, at: float, outcome: ToolOutcome) -> None:
        """A tool ends the call: at once where it is strict, else unless the caller has something to say to it."""
        end = EndBehavior.HANG_UP_STRICT if outcome.strict else EndBehavior.HANG_UP_SOFT
        if outcome.closing_message.strip():
            self.agenda.lines.append(Line(outcome.closing_message, end=end))
        elif outcome.strict or not self.caller_has_floor:
            self.close(at, EndReason.AGENT_HANGUP)

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
            listened = self.resumption.listens(turn.text or "", turn.audio_span.end_s - turn.audio_span.start_s)
            if turn.text == "" or (reply is not None and turn.started_at >= reply.began_at) or listened:
                self._forget_turn(turn)
                if listened:
                    self._resume()
                continue
            self.resumption.forget()
            turn.ordinal = self.history.take_ordinal()
            if not self.closing:
                self._answering = turn
                self.agenda.owe_answer()
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

    def _answer(self, at: float) -> None:
        turn, self._answering = self._answering, None
        over_caller = self.agenda.answer_over_caller
        self.agenda.paid()
        timings = Timings(committed=at)
        if turn is not None:
            timings.speech_ended, timings.transcribed = turn.ended_at, turn.transcribed_at
        recorded = 0 if self.settings.speech_model else 1
        said = None if turn is None or self.settings.speech_model else turn.text
        if turn is not None and self.floor.draft_is(Origin(turn.utterance, said, self.history.version - recorded)):
            reply = self.floor.commit_draft(at, timings)
            for request in reply.wants:
                self.tools.request(at, reply.number, request)
        else:
            audio_of = turn.utterance if turn is not None and turn in self.hearing.waiting else None
            reply = self.floor.answer(at, self.prompt(), timings, audio_of)
        reply.turn, reply.over_caller = turn, over_caller

    def _greet(self, at: float) -> None:
        greeting = self.settings.first_speaker.greeting or Greeting()
        self.agenda.greeting_due = None
        if greeting.text:
            reply = self.floor.say(at, Line(greeting.text))
        else:
            nudge = greeting.prompt
            if nudge is None and self.settings.greeting_prompt and not self.history.ends_with_user():
                nudge = GREETING_NUDGE
            reply = self.floor.answer(at, self.prompt(nudge), Timings(committed=at))
        reply.greeting, reply.interruptible = True, not greeting.uninterruptible

    def interrupt(self, at: float) -> None:
        """The caller has spoken over the reply."""
        if self.floor.reply is not None and not self.floor.reply.stopping:
            self.log(Severity.INFO, "interruption", "The caller spoke over the agent.")
            self.floor.reply.interrupted = True
            self.stop_reply(at)

    def stop_reply(self, at: float) -> None:
        """Stop the reply, if there is one."""
        self.reply_closed(at, self.floor.stop_reply(at))

    def reply_closed(self, at: float, closed: Closed | None) -> None:
        """A reply has left the floor (``None``: not yet, or there was none)."""
        if closed is None:
            return
        reply = closed.reply
        if closed.cut:
            if self.resumption.possible(reply):
                self.resumption.hold(reply, self.tools.take_back(reply.number))
            self.tools.drop(reply.number)
        elif self.tools.has(reply.number):
            self.tools.begin(at, reply.number, spoke=reply.playing)
            return
        if reply.playing:
            if reply.line is None and not reply.failed:
                self._failures = 0
        elif not closed.cut:
            self._heard_nothing(at, reply)
        if reply.interrupted and not reply.heard_text:
            self._give_back(at, reply)
        wanted = self.caller_has_floor or self.agenda.answer_owed
        if reply.end is EndBehavior.HANG_UP_STRICT or (
            reply.end is EndBehavior.HANG_UP_SOFT and not closed.cut and not wanted
        ):
            self.close(at, EndReason.AGENT_HANGUP)
        if reply.playing:
            self.prime()

    def _resume(self) -> None:
        """Go on with the reply at the word it stopped at."""
        line = self.resumption.take()
        if line is not None and not self.closing:
            self.agenda.lines.appendleft(line)
            self.log(Severity.INFO, "resumed", "The caller only listened; the agent goes on where it stopped.")

    def _heard_nothing(self, at: float, reply: Reply) -> None:
        """A reply is at its end, and there was no sound (or text) of it."""
        if reply.failed:
            self.fail(at, apologise=False)
        elif reply.broken_off:
            self.fail(at)
        elif reply.line is None:
            self.log(Severity.WARNING, "empty_reply", "The model wrote nothing that can be said.")

    def _give_back(self, at: float, reply: Reply) -> None:
        """The caller's voice stopped a reply before a word of it was heard: it is still to be given.

        Where that voice brings no words (it was a noise), it is given as it was; else together with what the
        caller said.
        """
        agenda = self.agenda
        if reply.greeting:
            agenda.greeting_due = at
        elif reply.line is None:
            agenda.owe_answer()
            self._answering = self._answering or reply.turn
        elif reply.line.insists:
            agenda.lines.appendleft(reply.line)

    def close(self, at: float, reason: EndReason) -> None:
        """End the call once the last words are said."""
        self.floor.drop_draft()
        self.agenda.close(reason, at + self.settings.turns.farewell_patience_s)

    def fail(self, at: float, *, apologise: bool = True) -> None:
        """Something of ours broke: say so, and give the call up if it goes on."""
        if self.ended:
            return
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.end(at, End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer"))
        elif apologise and not self.agenda.closing:
            self.agenda.lines.appendleft(Line(APOLOGY))

    def end(self, at: float, end: End) -> None:
        """End as soon as the caller's last words are known; the first reason stands.

        What was heard of a reply is put on record, and nothing is begun any more.
        """
        if self._ending is not None:
            return
        closing = self.agenda.closing
        self._ending = end if closing is None else End(closing, end.close_code, end.text)
        self.last_words_by = at + self.settings.turns.last_words_patience_s
        self.floor.drop_draft()
        self.stop_reply(at)
        turn = self.turn
        if turn.confirmed and turn.phase is Phase.PAUSING:
            self.end_turn(at, turn.utterance, turn.revision)
        elif turn.confirmed and turn.phase is Phase.SPEAKING:
            self.out += self.hearing.ask(turn.utterance, turn.revision + 1)
            self.end_turn(at, turn.utterance, turn.revision + 1)

    def finish(self) -> None:
        """The end, with what is known by now."""
        if self._ending is not None and not self.ended:
            self.tools.finish(self.last_at)
            self.ended = True
            self.out.append(self._ending)

    def end_turn(self, at: float, utterance: int, revision: int) -> None:
        """The caller's turn is over, its words are to come."""
        joined, turn = self.joined_at or 0.0, self.turn
        audio = Span(turn.start_audio_s, turn.speech_end_audio_s)
        wall = Span(turn.start_at - joined, turn.speech_end_at - joined)
        words_by = at + self.settings.turns.transcription_patience_s
        heard = HeardTurn(utterance, revision, audio, wall, turn.start_at, turn.speech_end_at, words_by)
        self.out += self.hearing.end(heard)

    def record_user(self, modality: Modality, ordinal: int, text: str, audio: Span, wall: Span) -> None:
        """A turn of the caller's is whole: history, transcript, record."""
        self._rounds = 0
        message = SpokenMessage(Role.USER, modality, ordinal, text, audio, wall)
        self.history.add(message)
        self.emit(Transcript(Role.USER, modality, ordinal, final=True, text=text))
        self.out.append(Keep(message))

    def prompt(self, user_text: str | None = None) -> Prompt:
        """What a model is to continue now; ``user_text`` are words that are not history (yet)."""
        return self.history.prompt(self.settings.temperature, self.settings.language, user_text)

    def prime(self) -> None:
        """Let the model read what it knows of the next prompt."""
        if not self.closing and not self.tools.busy:
            self.out.append(Prime(self.prompt()))

    def _announce(self) -> None:
        if self.state is not self._announced and not self.ended and not self.ending:
            self._announced = self.state
            self.emit(StateChanged(self._announced))

    def log(self, severity: Severity, kind: str, text: str) -> None:
        """Note an event of the call."""
        self.emit(CallEvent(severity, kind, text))

    def emit(self, message: Message) -> None:
        """Say something to the client."""
        self.out.append(Emit(message))
