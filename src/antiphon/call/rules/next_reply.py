"""Who has the floor, and what follows: the agent's next reply.

Everything here happens in :meth:`Conversation.advance`, which is called after every fact and does what has
become possible, until nothing more is.
"""

from __future__ import annotations

from dataclasses import replace

from antiphon.call.actions import End
from antiphon.call.ends import EndReason
from antiphon.call.greeting import greeting_nudge
from antiphon.call.messages import Severity, StateChanged
from antiphon.call.rules.turns import Turns
from antiphon.call.settings import EndBehavior, Greeting
from antiphon.call.speaking.agenda import APOLOGY, Line
from antiphon.call.speaking.reply import Origin, Timings
from antiphon.call.tools.invocations import Invocation, judge
from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.call.watchdog import wait_of

MOST_ROUNDS = 8
"""Times in a row that the agent may use tools without the caller saying anything."""


class Conversation(Turns):
    """One call's machines, brought together."""

    def passes(self, at: float) -> bool:
        """Words, sound or playout of a reply came on, and nothing else: whether no more follows than what is heard.

        If so, this has done all that ``advance`` would do, and no deadline is earlier than before. A greeting is due by
        the clock, whatever comes.
        """
        if self.agenda.greeting_due is not None or not self.floor.unmoved:
            return False
        self._keep_time(at)
        self.floor.show()
        self._watch(at)
        return True

    def _keep_time(self, at: float) -> None:
        self.last_at = at
        self.tools.audio_s = self.floor.audio_s

    def _watch(self, at: float) -> None:
        wait = wait_of(at, self.floor, self.tools, self.hearing, self.agenda, caller_speaks=self.caller_speaks)
        self.watchdog.watch(at, wait)

    def advance(self, at: float) -> None:
        """Do what has become possible, until nothing more is."""
        self._keep_time(at)
        self.go_on_after_stop()
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
        self._watch(at)

    def _take_floor(self, at: float) -> bool:
        """Begin the next reply, or the end, if the floor is free and one is wanted."""
        self._take_whole_turns()
        agenda, floor = self.agenda, self.floor
        if floor.reply is not None:
            return False
        if agenda.lines and self._may_say(agenda.lines[0]):
            line = agenda.lines.popleft()
            held = self.resumption.said(line)
            reply = floor.say(at, line, held)
            for request in (*line.wants, *(held.wants if held else ())):
                known = line.known.get(request.invocation)
                request = replace(request, invocation=self.threads.claims.unused(request.invocation))
                self.tools.request(at, reply.number, request, known, forced=held is None)
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
        """All tools have answered: hang up, or change the stage where they want it, and speak or listen."""
        verdict = judge(settled)
        if verdict.hang_up is not None:
            self._hang_up(at, verdict.hang_up)
            return
        if verdict.stages:
            self.begin_stage(verdict.stages[0])
        for _ in verdict.stages[1:]:
            self.log(Severity.WARNING, "stage_not_begun", "Two tools asked for a new stage; the first one's began.")
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

    def _answer(self, at: float) -> None:
        turn, self._answering = self._answering, None
        over_caller = self.agenda.answer_over_caller
        self.agenda.paid()
        timings = Timings(committed=at)
        if turn is not None:
            timings.speech_ended, timings.transcribed = turn.ended_at, turn.transcribed_at
            timings.endpoint = turn.decided_at
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
                nudge = greeting_nudge(self.stage.system_prompt)
            reply = self.floor.answer(at, self.prompt(nudge), Timings(committed=at))
        reply.greeting, reply.interruptible = True, not greeting.uninterruptible

    def _announce(self) -> None:
        if self.state is not self._announced and not self.ended and not self.ending:
            self._announced = self.state
            self.emit(StateChanged(self._announced))
