"""The agent's side of the floor: the reply being given, the draft of the next one, and what was said.

Every reply has a number. What arrives for a number that is neither the reply's nor the draft's is stale and
is dropped in :meth:`Floor.find`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.call.actions import Action, Emit, Generate, Keep, Play, ReplyCut, Stop
from antiphon.call.events import SpeechMade
from antiphon.call.history import History, Span, SpokenMessage
from antiphon.call.messages import AgentState, CallEvent, Modality, Role, Severity, Transcript
from antiphon.call.prompt import Prompt
from antiphon.call.speaking.agenda import Line
from antiphon.call.speaking.backchannel import Held
from antiphon.call.speaking.reply import Origin, Reply, Timings


@dataclass(frozen=True, slots=True)
class Closed:
    """A reply that has left the floor. ``cut``: the caller did not hear all of it."""

    reply: Reply
    cut: bool


class Floor:
    """Keeps at most one committed reply and at most one draft."""

    def __init__(self, history: History, rate: int, out: list[Action]) -> None:
        self.history = history
        self.modality = Modality.VOICE
        self.reply: Reply | None = None
        self.draft: Reply | None = None
        self.audio_s = 0.0
        self.joined_at = 0.0
        self._rate = rate
        self._out = out
        self._numbers = 0

    @property
    def state(self) -> AgentState:
        """What the agent is doing: a function of the reply, never stored."""
        if self.reply is None:
            return AgentState.LISTENING
        return AgentState.SPEAKING if self.reply.playing else AgentState.THINKING

    def find(self, number: int) -> Reply | None:
        """The live reply of that number; ``None`` means stale."""
        for reply in (self.reply, self.draft):
            if reply is not None and reply.number == number and not reply.stopping:
                return reply
        return None

    def find_written(self, number: int) -> Reply | None:
        """The live reply that the model writes under that number, or one being stopped that it may go on with."""
        for reply in (self.reply, self.draft):
            if reply is not None and reply.written_as == number and (reply.keeps_writing or not reply.stopping):
                return reply
        return None

    # Beginning

    def write_draft(self, at: float, prompt: Prompt, origin: Origin, *, with_audio: bool) -> None:
        """Generate on suspicion; nothing of it shows before ``commit``."""
        self.drop_draft()
        self.draft = self._new(at)
        self.draft.origin = origin
        self._out.append(Generate(self.draft.number, prompt, origin.utterance if with_audio else None))

    def draft_is(self, origin: Origin) -> bool:
        """What was written on suspicion is what would be written now."""
        return self.draft is not None and self.draft.modality is self.modality and self.draft.origin == origin

    def commit_draft(self, at: float, timings: Timings) -> Reply:
        """The draft is the reply."""
        assert self.reply is None
        assert self.draft is not None
        reply, self.draft = self.draft, None
        timings.first_text, timings.first_sound = reply.timings.first_text, reply.timings.first_sound
        reply.timings, reply.alive_at, reply.began_at = timings, at, at
        reply.committed = True
        self.reply = reply
        return reply

    def answer(self, at: float, prompt: Prompt, timings: Timings, utterance: int | None = None) -> Reply:
        """Generate a reply."""
        self.drop_draft()
        self.reply = self._new(at)
        self.reply.committed = True
        self.reply.timings = timings
        self._out.append(Generate(self.reply.number, prompt, utterance))
        return self.reply

    def say(self, at: float, line: Line, held: Held | None = None) -> Reply:
        """Give a reply of fixed words, or the rest of one that was ``held``, of which the model may write more."""
        self.drop_draft()
        self.reply = self._new(at)
        self.reply.committed = True
        self.reply.line = line
        if line.written:
            self.reply.modality = Modality.TEXT
        self.reply.interruptible, self.reply.over_caller = line.interruptible, line.over_caller
        self.reply.timings.first_text = at
        self._out += self.reply.write(line.text if held is None else held.rest, at)
        if held is None or held.whole:
            self._out += self.reply.finish_writing()
        else:
            self.reply.continues = held.reply.written_as
        return self.reply

    def _new(self, at: float) -> Reply:
        self._numbers += 1
        return Reply(self._numbers, self.modality, self._rate, started_at=at, began_at=at, alive_at=at)

    # Stopping

    def drop_draft(self) -> None:
        """Forget the draft without a trace."""
        if self.draft is not None:
            self._out.append(Stop(self.draft.number))
            self.draft = None

    def stop_reply(self, at: float, *, keep_writing: bool = False) -> Closed | None:
        """Stop the reply. One that is being played closes when ``stopped`` tells what was heard.

        ``keep_writing``: the model may go on with it.
        """
        reply = self.reply
        if reply is None or reply.stopping:
            return None
        self._out.append(Stop(reply.number, keep_writing))
        reply.keeps_writing = keep_writing
        if reply.continues is not None and not keep_writing:
            self._out.append(Stop(reply.continues))
        if reply.playing and reply.modality is Modality.VOICE:
            reply.stopping = True
            return None
        return self._close(at, cut=True)

    def stop_writing(self, reply: Reply) -> None:
        """What the model still writes of a reply that was stopped is of no use after all."""
        if reply.keeps_writing:
            reply.keeps_writing = False
            self._out.append(Stop(reply.written_as))

    def stopped(self, at: float, number: int, position: int, unplayed: int) -> Closed | None:
        """The playout has stopped: the caller heard ``position`` samples and will hear no more."""
        reply = self.reply
        if reply is None or reply.number != number or not reply.stopping:
            return None
        reply.advance(at, position)
        self._out.append(ReplyCut(number, position, unplayed))
        return self._close(at, cut=not reply.heard)

    def abandon(self, at: float) -> Closed | None:
        """The reply leaves the floor whoever plays it has answered or not, with what is known to have been heard."""
        reply = self.reply
        if reply is None:
            return None
        if not reply.stopping:
            self._out.append(Stop(reply.number))
        if reply.continues is not None:
            self._out.append(Stop(reply.continues))
        if reply.playing and reply.modality is Modality.VOICE:
            self._out.append(ReplyCut(reply.number, reply.position, None))
        return self._close(at, cut=True)

    # Progress

    def write(self, at: float, reply: Reply, delta: str) -> None:
        """The model wrote ``delta`` of ``reply``."""
        if delta.strip():  # blanks are no sign of life
            reply.alive_at = at
            reply.timings.first_text = at if reply.timings.first_text is None else reply.timings.first_text
        actions = reply.write(delta, at)
        if not reply.stopping:
            self._out += actions

    def finish_writing(self, at: float, reply: Reply) -> None:
        """The model has written all of ``reply``."""
        reply.alive_at = at
        actions = reply.finish_writing()
        if not reply.stopping:
            self._out += actions

    def made(self, reply: Reply, made: SpeechMade) -> None:
        """There is sound of ``reply``."""
        reply.alive_at = made.at
        reply.made(made.at, made.clause, made.samples, made.voiced, made.ended)
        if made.samples and reply.timings.first_sound is None:
            reply.timings.first_sound = made.at

    def ready_to_play(self) -> bool:
        """The reply has something to hear (or to read) and is not heard yet."""
        reply = self.reply
        if reply is None or reply.playing or reply.stopping:
            return False
        return bool(reply.text) if reply.modality is Modality.TEXT else reply.samples > 0

    def begin_playing(self) -> None:
        """The agent's turn begins: its place in the call is taken."""
        assert self.reply is not None
        self.reply.playing = True
        self.reply.ordinal = self.history.take_ordinal()
        self.reply.started_audio_s = self.audio_s

    def play(self, at: float) -> None:
        """Let it be heard; says how long the caller waited for it."""
        reply = self.reply
        assert reply is not None
        assert reply.ordinal is not None
        reply.started_at = reply.alive_at = at
        if reply.modality is Modality.VOICE:
            self._out.append(Play(reply.number))
        self._out.append(Emit(_latency_event(reply, at)))

    @property
    def unmoved(self) -> bool:
        """Nothing can be done about the reply but to ``show`` what was heard of it.

        ``False`` in doubt, as when all the sound there is has been heard: then it may end, or be given up sooner.
        """
        reply = self.reply
        if reply is None:
            return True  # of a draft nothing is heard
        if reply.modality is Modality.TEXT:
            return False
        if not reply.playing:
            return not reply.samples and not reply.generated
        return reply.position < reply.samples

    def show(self) -> None:
        """Bring the transcript up to what was heard."""
        reply = self.reply
        if reply is None or not reply.playing or reply.ordinal is None:
            return
        heard = reply.heard_characters
        if heard > reply.shown:
            delta = reply.text[reply.shown : heard]
            reply.shown = heard
            self._out.append(Emit(Transcript(Role.AGENT, reply.modality, reply.ordinal, final=False, delta=delta)))

    def close_if_heard(self, at: float) -> Closed | None:
        """The reply leaves the floor once the caller has heard all of it."""
        reply = self.reply
        if reply is None or reply.stopping or not reply.heard:
            return None
        return self._close(at, cut=False)

    def _close(self, at: float, *, cut: bool) -> Closed:
        reply = self.reply
        assert reply is not None
        self.reply = None
        if reply.playing and reply.ordinal is not None:
            text = reply.heard_text if cut or reply.failed else reply.text.strip()
            final = Transcript(Role.AGENT, reply.modality, reply.ordinal, final=True, text=text)
            self._out.append(Emit(final))
            if text:
                audio = Span(reply.started_audio_s, max(reply.started_audio_s, self.audio_s))
                wall = Span(reply.started_at - self.joined_at, at - self.joined_at)
                message = SpokenMessage(Role.AGENT, reply.modality, reply.ordinal, text, audio, wall)
                self.history.add(message)
                self._out.append(Keep(message))
        return Closed(reply, cut)


def _latency_event(reply: Reply, at: float) -> CallEvent:
    """How long the caller waited, in ms since the end of the caller's speech, step by step."""
    times = reply.timings
    since = times.speech_ended
    steps = {
        "endpointMs": times.endpoint,
        "transcriptMs": times.transcribed,
        "committedMs": times.committed,
        "firstTextMs": times.first_text,
        "firstSoundMs": times.first_sound,
        "firstAudioMs": at,
    }
    extras: dict[str, int | None] = {"ordinal": reply.ordinal}
    if since is not None:
        extras |= {name: None if value is None else round((value - since) * 1000) for name, value in steps.items()}
    return CallEvent(Severity.INFO, "agent_turn", "The agent's turn began.", extras)
