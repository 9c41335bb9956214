"""How a reply leaves the floor and what follows from that; how things go wrong; how the call ends."""

from __future__ import annotations

from antiphon.call.actions import End
from antiphon.call.ends import EndReason
from antiphon.call.listening.endpointing import Phase
from antiphon.call.messages import Modality, Severity
from antiphon.call.settings import EndBehavior
from antiphon.call.speaking.agenda import APOLOGY, Line
from antiphon.call.speaking.floor import Closed
from antiphon.call.speaking.reply import Reply
from antiphon.call.state import Joint

APOLOGY_AGAIN_S = 5.0
"""Until an apology that could not be spoken is tried again."""

FAILURES_IN_A_ROW = 3
"""Replies that fail one after the other before the call is given up as ``system_error``."""


class Closing(Joint):
    """The ends of replies and of the call."""

    def interrupt(self, at: float, by: str, speech_s: float) -> None:
        """The caller has spoken over the reply: it was known ``by`` the ``voice`` or the ``words``."""
        if self.floor.reply is not None and not self.floor.reply.stopping:
            reply = self.floor.reply
            self.log(
                Severity.INFO,
                "interruption",
                "The caller spoke over the agent.",
                ordinal=reply.ordinal,
                by=by,
                speechMs=round(speech_s * 1000),
                heardMs=round(reply.position * 1000 / reply.rate),
            )
            reply.interrupted = True
            self.reply_closed(at, self.floor.stop_reply(at, keep_writing=self.resumption.may_follow(reply)))

    def stop_reply(self, at: float) -> None:
        """Stop the reply, if there is one."""
        self.reply_closed(at, self.floor.stop_reply(at))

    def go_on_after_stop(self) -> None:
        """Do what waited for a reply to have stopped."""
        if self.after_stop and (self.floor.reply is None or not self.floor.reply.stopping):
            waiting, self.after_stop = self.after_stop, []
            for work in waiting:
                work()

    def reply_closed(self, at: float, closed: Closed | None) -> None:
        """A reply has left the floor (``None``: not yet, or there was none)."""
        if closed is None:
            return
        reply = closed.reply
        if closed.cut:
            if self.resumption.possible(reply):
                self.resumption.hold(reply, self.tools.take_back(reply.number))
            else:
                self.floor.stop_writing(reply)
            self.tools.drop(reply.number)
        elif self.tools.has(reply.number):
            self.tools.begin(at, reply.number, spoke=reply.playing)
            return
        if reply.playing:
            self._heard_some(at, closed)
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

    def _heard_some(self, at: float, closed: Closed) -> None:
        """A reply is at its end, and there was sound (or text) of it."""
        reply = closed.reply
        if not reply.failed:
            if reply.modality is self.floor.modality:
                self.agenda.apology_due = None
            if reply.line is None:
                self._failures = 0
        elif not closed.cut and not (reply.line is not None and reply.line.apology):
            self.fail(at, reply)

    def _heard_nothing(self, at: float, reply: Reply) -> None:
        """A reply is at its end, and there was no sound (or text) of it."""
        if reply.mute and not reply.failed:
            self.log(Severity.ERROR, "speaking_failed", "The voice made no sound of any word.")
        if reply.failed or reply.broken_off or reply.mute:
            self.fail(at, reply)
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

    def give_up_reply(self, at: float, reply: Reply) -> None:
        """An engine hangs, or is too slow to be listened to."""
        reply.failed = reply.owes_sound
        stage = "voice" if reply.failed else "model"
        self.log(Severity.ERROR, "engine_stalled", f"The {stage} left a reply waiting; it was given up.", stage=stage)
        self.stop_reply(at)
        self.fail(at, reply)

    def fail(self, at: float, reply: Reply | None = None) -> None:
        """Something of ours broke: say so, and give the call up if it goes on. ``reply`` is what could not be given."""
        if self.ended:
            return
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.end(at, End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer"))
        elif self.agenda.closing or (reply is not None and reply.end is not EndBehavior.NOTHING):
            return  # the call is about to end: there is nothing to say again
        elif reply is not None and reply.line is not None and reply.line.apology:
            self.agenda.lines.appendleft(Line(APOLOGY, written=True))
            self.agenda.apology_due = at + APOLOGY_AGAIN_S
        else:
            self.agenda.lines.appendleft(Line(APOLOGY, apology=True))

    def apologise_again(self) -> None:
        """The voice may work by now, unless something else is going on anyway."""
        self.agenda.apology_due = None
        idle = self.floor.reply is None and not self.tools.busy and not self.caller_has_floor
        if idle and not self.agenda.answer_owed and not self.closing:
            self.agenda.lines.appendleft(Line(APOLOGY, apology=True))

    def free(self, at: float, waited_for: str, since: float) -> None:
        """Nothing has moved for too long: give up whatever is under way, and say sorry."""
        text = "Nothing moved for too long; what was under way was given up."
        self.log(
            Severity.ERROR, "stuck", text, waitingFor=waited_for, state=self.state.value, seconds=round(at - since, 1)
        )
        self._abandon_reply(at)
        self.tools.give_up(at, at_once=True)
        self.agenda.lines.clear()
        self.agenda.paid()
        self.agenda.greeting_due = self._answering = None
        for turn in self.hearing.waiting:
            if turn.text:
                ordinal = self.history.take_ordinal() if turn.ordinal is None else turn.ordinal
                self.record_user(Modality.VOICE, ordinal, turn.text, turn.audio_span, turn.wall_span)
            self.out.append(self.hearing.release(turn.utterance))
        self.hearing.waiting.clear()
        if self.agenda.closing is not None:
            self.end(at, End(self.agenda.closing, 1000, self.agenda.closing.value))
        else:
            self.fail(at)

    def _abandon_reply(self, at: float) -> None:
        self.reply_closed(at, self.floor.abandon(at))
        self.go_on_after_stop()

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
        self.threads.cancel_all("canceled: the call has ended")
        turn = self.turn
        if turn.confirmed and turn.phase is Phase.PAUSING:
            self.end_turn(at, turn.utterance, turn.revision)
        elif turn.confirmed and turn.phase is Phase.SPEAKING:
            self.out += self.hearing.ask(turn.utterance, turn.revision + 1)
            self.end_turn(at, turn.utterance, turn.revision + 1)

    def finish(self) -> None:
        """The end, with what is known by now."""
        if self._ending is not None and not self.ended:
            self._abandon_reply(self.last_at)
            self.tools.finish(self.last_at)
            self.ended = True
            self.out.append(self._ending)
