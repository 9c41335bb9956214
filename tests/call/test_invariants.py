"""Any events in any order: what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.history import SpokenMessage, ToolMessage, ToolRole
from antiphon.call.messages import AgentState, Modality, Role, StateChanged, Transcript
from antiphon.call.prompt import Reaction, ToolRequest, ToolSpec
from antiphon.call.settings import CallSettings, EndBehavior, FirstSpeaker, Greeting, TimedMessage
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from tests.support import random_threads

LIVE = -1
"""Stands for whatever reply, utterance or revision the core last asked something of."""
numbers = st.one_of(st.just(LIVE), st.just(LIVE), st.integers(0, 6))
words = st.sampled_from(["", "yes ", "hello there. ", "one, two. Three four five six seven ", "*** ", "\n"])


outcomes = st.sampled_from(
    [
        ToolOutcome("done"),
        ToolOutcome("broken", failed=True),
        ToolOutcome("done", reaction=Reaction.LISTENS),
        ToolOutcome("", response_type=ResponseType.HANG_UP, closing_message="Bye."),
        ToolOutcome("", response_type=ResponseType.HANG_UP, strict=True),
    ]
)
TOOL_NAMES = ("look", "ahead", "noted", "nothing")
TOOLS = (
    ToolSpec("look", "", {}),
    ToolSpec("ahead", "", {}, precomputable=True, reaction=Reaction.SPEAKS_ONCE),
    ToolSpec("noted", "", {}, static_response="noted"),
)


@st.composite
def steps(draw: st.DrawFn) -> tuple[float, object]:
    """Some time, then one thing."""
    wait = draw(st.sampled_from([0.0, 0.0, 0.005, 0.032, 0.2, 1.0, 30.0]))
    reply, clause = draw(numbers), draw(st.sampled_from([0, 0, 0, 1, 2]))
    return wait, draw(
        st.one_of(
            st.tuples(st.just("speech"), st.integers(1, 30), st.booleans()),
            st.tuples(st.just("turn"), words),
            st.tuples(st.just("answer"), words, st.sampled_from([None, *TOOL_NAMES]), st.booleans()),
            st.tuples(st.just("answer"), words, st.sampled_from([None, *TOOL_NAMES]), st.booleans()),
            st.builds(lambda u, r, t: ("event", lambda at: ev.Transcribed(at, u, r, t)), numbers, numbers, words),
            st.builds(lambda u, r: ("event", lambda at: ev.TranscriptionFailed(at, u, r, "x")), numbers, numbers),
            st.builds(
                lambda u, r, p: ("event", lambda at: ev.TurnJudged(at, u, r, p)),
                numbers,
                numbers,
                st.sampled_from([None, 0.1, 0.9]),
            ),
            st.builds(lambda t: ("event", lambda at: ev.TextGenerated(at, reply, t)), words),
            st.just(("event", lambda at: ev.GenerationEnded(at, reply))),
            st.just(("event", lambda at: ev.GenerationFailed(at, reply, "x"))),
            st.builds(
                lambda n, e: ("event", lambda at: ev.SpeechMade(at, reply, clause, n, e)),
                st.integers(0, 50_000),
                st.booleans(),
            ),
            st.builds(
                lambda i, n: ("event", lambda at: ev.ToolRequested(at, reply, ToolRequest(f"{i}", n))),
                st.integers(0, 6),
                st.sampled_from(TOOL_NAMES),
            ),
            st.builds(lambda i, o: ("event", lambda at: ev.ToolReturned(at, f"{i}", o)), st.integers(0, 6), outcomes),
            st.builds(
                lambda i, o: ("event", lambda at: ev.ToolReturned(at, f"{i}", o)),
                st.integers(0, 6),
                random_threads.outcomes,
            ),
            st.just(("event", lambda at: ev.SpeakingFailed(at, reply, clause, "x"))),
            st.builds(lambda n: ("event", lambda at: ev.PlayoutAdvanced(at, reply, n)), st.integers(0, 200_000)),
            st.builds(
                lambda t, u: ("event", lambda at: ev.UserTextReceived(at, t, u)), words, st.sampled_from(ev.Urgency)
            ),
            st.builds(
                lambda t, u, b: ("event", lambda at: ev.ForcedMessageReceived(at, t, u, b)),
                words,
                st.sampled_from([ev.Urgency.IMMEDIATE, ev.Urgency.SOON]),
                st.booleans(),
            ),
            st.builds(lambda m: ("event", lambda at: ev.OutputMediumSet(at, m)), st.sampled_from(Modality)),
            st.builds(lambda t: ("event", lambda at: ev.HangUpReceived(at, t)), words),
            st.just(("event", lambda at: ev.EndRequested(at, EndReason.HANGUP, 1000, "bye"))),
            st.just(("tick",)),
            random_threads.steps,
            random_threads.steps,
        )
    )


call_settings = st.builds(
    CallSettings,
    call_id=st.just("c"),
    output_rate=st.just(16_000),
    first_speaker=st.sampled_from(
        [
            FirstSpeaker(),
            FirstSpeaker(False, None),
            FirstSpeaker(True, Greeting("Hello there, friend.", uninterruptible=True)),
            FirstSpeaker(False, Greeting("Anybody?", delay_s=1.0)),
        ]
    ),
    inactivity=st.sampled_from(
        [(), (TimedMessage(5.0, "Still there?"), TimedMessage(5.0, "Bye.", EndBehavior.HANG_UP_STRICT))]
    ),
    max_duration_s=st.sampled_from([3600.0, 40.0]),
    time_exceeded_message=st.sampled_from([None, "Time is up."]),
    modality=st.sampled_from(Modality),
    tools=st.sampled_from([(), TOOLS]),
    backchannels=st.booleans(),
    speech_model=st.booleans(),
    judges_turns=st.booleans(),
    threads=st.just(random_threads.SETTINGS),
)


@dataclass
class Watch:
    """Checks every action as it comes."""

    texts: dict[int, str] = field(default_factory=dict)
    ordinals: list[tuple[int, Role]] = field(default_factory=list)
    finals: dict[int, str] = field(default_factory=dict)
    deltas: dict[int, str] = field(default_factory=dict)
    state: AgentState = AgentState.IDLE
    playing: int | None = None
    stopped: set[int] = field(default_factory=set)
    ends: int = 0
    cleared: bool = False
    reply: int = 0
    utterance: int = 0
    revision: int = 0
    invoked: set[str] = field(default_factory=set)
    halves: set[tuple[str, ToolRole]] = field(default_factory=set)
    stuck: bool = False
    threads: random_threads.ThreadWatch = field(default_factory=random_threads.ThreadWatch)

    def aimed(self, event: ev.Event) -> ev.Event:
        """The event with what stands for the live reply, utterance, revision and side generation put in."""
        live = {"reply": self.reply, "utterance": self.utterance, "revision": self.revision}
        live["generation"] = self.threads.begun
        changes = {name: value for name, value in live.items() if getattr(event, name, None) == LIVE}
        return replace(event, **changes)  # type: ignore[arg-type]

    def take(self, action: act.Action) -> None:
        assert self.ends == 0, "nothing follows the end"
        cleared, self.cleared = self.cleared, False
        self.threads.take(action)
        match action:
            case act.End():
                self.ends += 1
            case act.Stop(reply=reply):
                assert reply not in self.stopped
                self.stopped.add(reply)
            case act.Transcribe(utterance=utterance, revision=revision):
                self.utterance, self.revision = utterance, revision
            case act.Generate(reply=reply) | act.Speak(reply=reply) | act.Play(reply=reply):
                self.reply = reply
                assert reply not in self.stopped, "a stopped reply stays stopped"
                if isinstance(action, act.Play):
                    assert self.state is AgentState.SPEAKING, "speaking is said before the first audio"
            case act.Invoke(request=request):
                assert request.invocation not in self.invoked, "a tool runs once"
                self.invoked.add(request.invocation)
            case act.Keep(message=ToolMessage() as message):
                half = (message.request.invocation, message.role)
                assert half not in self.halves, "an invocation has one outcome"
                if message.role is ToolRole.RESULT:
                    assert (message.request.invocation, ToolRole.CALL) in self.halves
                self.halves.add(half)
            case act.Emit(message=StateChanged(state=state)):
                assert state is not self.state, "a state is said once"
                self.state = state
            case act.ReplyCut(unplayed=unplayed) if unplayed != 0:
                self.cleared = True
            case act.Emit(message=Transcript() as transcript):
                self._take_transcript(transcript, cleared)

    def _take_transcript(self, transcript: Transcript, cleared: bool) -> None:
        assert (transcript.text is None) != (transcript.delta is None)
        ordinal = transcript.ordinal
        known = [taken for taken, _ in self.ordinals]
        if ordinal not in known:
            self.ordinals.append((ordinal, transcript.role))
        else:
            assert (ordinal, transcript.role) in self.ordinals, "an ordinal is one turn's"
        assert ordinal not in self.finals, "nothing follows a final transcript"
        if transcript.delta is not None:
            self.deltas[ordinal] = self.deltas.get(ordinal, "") + transcript.delta
        if transcript.final:
            text = transcript.text or ""
            self.finals[ordinal] = text
            if transcript.role is Role.AGENT:
                assert text.startswith(self.deltas.get(ordinal, "").strip())


def drive(call: Call, script: list[tuple[float, object]]) -> Watch:
    watch, now, audio_s = Watch(), 0.0, 0.0

    def settle() -> None:
        while actions := call.actions():
            stops = []
            for action in actions:
                watch.take(action)
                if isinstance(action, act.Stop):
                    stops.append(action.reply)
            for reply in stops:
                call.receive(ev.PlayoutStopped(now, reply, 7_000, 900))
        deadline = call.deadline
        assert deadline is None or isinstance(deadline, float)

    call.receive(ev.Joined(now))
    settle()

    def wait_until(target: float) -> None:
        nonlocal now
        while (deadline := call.deadline) is not None and deadline <= target:
            before = deadline
            now = max(now, deadline)
            call.tick(now)
            settle()
            assert call.deadline is None or call.deadline > before, "a deadline that passed is not asked for again"
        now = target

    def feed(event: ev.Event) -> None:
        aimed = watch.aimed(event)
        watch.threads.over(aimed)
        call.receive(aimed)
        settle()

    def hear(frames: int, speaking: bool) -> None:
        nonlocal now, audio_s
        for _ in range(frames):
            now += 0.032
            audio_s += 0.032
            call.receive(ev.SpeechScored(now, audio_s, 0.9 if speaking else 0.0))
            settle()

    for wait, step in script:
        wait_until(now + wait)
        match step:
            case ("turn", str(text)):
                hear(15, True)
                hear(4, False)
                feed(ev.Transcribed(now, LIVE, LIVE, text))
                feed(ev.TurnJudged(now, LIVE, LIVE, 1.0))
                hear(10, False)
            case ("answer", str(text), name, bool(whole)):
                feed(ev.TextGenerated(now, LIVE, text))
                if name is not None:
                    feed(ev.ToolRequested(now, LIVE, ToolRequest(f"{len(watch.invoked)}", str(name))))
                feed(ev.GenerationEnded(now, LIVE))
                for clause in range(4):
                    feed(ev.SpeechMade(now, LIVE, clause, 8_000, ended=True))
                feed(ev.PlayoutAdvanced(now, LIVE, 200_000 if whole else 6_000))
            case ("speech", int(frames), bool(speaking)):
                hear(frames, speaking)
            case ("event", make):
                feed(make(now))  # type: ignore[operator]
            case _:
                call.tick(now)
                settle()
    watch.stuck = not comes_to_rest(call, lambda: wait_until(now + 10.0))
    return watch


def comes_to_rest(call: Call, ten_seconds: Callable[[], None]) -> bool:
    """Whether a call whose engines have all died stops to think, to speak, or to wait for words, sooner or later."""
    for _ in range(30):
        ten_seconds()
        if call.ended or (call.state is AgentState.LISTENING and not call._talk.caller_has_floor):
            return True
    return False


@settings(max_examples=250, deadline=None)
@given(call_settings, st.lists(steps(), max_size=40))
def test_whatever_happens(setup: CallSettings, script: list[tuple[float, object]]) -> None:
    check(setup, script)


waits = st.sampled_from([0.0, 0.0, 0.0, 0.05, 1.0, 6.0])
among_threads = st.one_of(steps(), *[st.tuples(waits, random_threads.steps)] * 6)


@settings(max_examples=100, deadline=None)
@given(call_settings.map(lambda made: replace(made, tools=TOOLS)), st.lists(among_threads, min_size=15, max_size=50))
def test_whatever_happens_among_threads(setup: CallSettings, script: list[tuple[float, object]]) -> None:
    check(setup, [(0.0, random_threads.FIRST), *script])


def check(setup: CallSettings, script: list[tuple[float, object]]) -> None:
    """Play it, and look at what came of it."""
    call = Call(setup)
    watch = drive(call, script)
    agent = [ordinal for ordinal, role in watch.ordinals if role is Role.AGENT]
    user = [ordinal for ordinal, role in watch.ordinals if role is Role.USER]
    assert agent == sorted(agent)
    if not setup.speech_model:
        # Of a turn of the agent's that nobody heard a word of, nothing shows until it is over.
        shown = [ordinal for ordinal, _ in watch.ordinals if watch.finals.get(ordinal) != ""]
        assert shown == sorted(shown)
    assert user == sorted(user)
    assert watch.ends <= 1
    assert not watch.stuck
    kept = [message.ordinal for message in call.messages]
    assert kept == sorted(set(kept))
    for message in call.messages:
        if isinstance(message, SpokenMessage):
            assert watch.finals[message.ordinal] == message.text
    if call.ended:
        assert watch.ends == 1
        assert not watch.threads.living, "threads end with the call"
        begun = {invocation for invocation, role in watch.halves if role is ToolRole.CALL}
        assert begun == {invocation for invocation, role in watch.halves if role is ToolRole.RESULT}
        before = call.messages
        call.receive(ev.UserTextReceived(1e6, "hello", ev.Urgency.IMMEDIATE))
        call.tick(1e6)
        assert call.actions() == []
        assert call.messages == before
