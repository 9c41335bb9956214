"""Whatever may be sent to threads, at random; and what must hold of them whatever comes."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.messages import (
    Message,
    SideGenerationCompleted,
    SideGenerationDelta,
    ThreadRejected,
    ThreadSpawned,
    ThreadTerminated,
)
from antiphon.call.prompt import Reaction, ToolRequest
from antiphon.call.settings import ThreadSettings
from antiphon.call.stages import Stage
from antiphon.call.tools.outcomes import (
    ForcedMessage,
    ResponseType,
    SpawnThread,
    ThreadLimits,
    ThreadMessage,
    ToolOutcome,
    Urgency,
    UserText,
)

SETTINGS = ThreadSettings(at_once=2, most=3, patience_s=20.0)
LIVE = -1
"""Stands for the generation that was begun last."""

_threads = st.sampled_from([*"aaabbbccd", "UI", "_PARENT"])
_parents = st.sampled_from(["UI"] * 6 + ["a", "b", "_PARENT", "nobody"])
_ids = st.sampled_from([f"s{number}" for number in range(4)] + ["s0-2", "s1-2"])
_names = st.sampled_from(["look", "ahead", "noted", "nothing"])
_words = st.sampled_from(["", "hello", "hello", "one two three four five six seven"])
_reactions = st.sampled_from(
    [
        *[ToolOutcome("done")] * 4,
        ToolOutcome("done", reaction=Reaction.LISTENS),
        ToolOutcome("", response_type=ResponseType.HANG_UP),
    ]
)
_generations = st.one_of(st.just(LIVE), st.just(LIVE), st.integers(0, 9))

_requests = st.builds(ToolRequest, _ids, _names)
_texts = st.builds(UserText, _threads, _words, st.sampled_from(Urgency))
_forced = st.builds(
    ForcedMessage,
    _threads,
    _words,
    st.sampled_from([Urgency.IMMEDIATE, Urgency.SOON]),
    wants=st.lists(_requests, max_size=2).map(tuple),
    known=st.dictionaries(_ids, _reactions, max_size=2),
)
_limits = st.builds(
    ThreadLimits,
    output_tokens=st.sampled_from([None, None, None, 3, 100]),
    generations=st.sampled_from([None, None, None, 0, 2]),
    generation_input_tokens=st.sampled_from([None, None, None, None, 2]),
)
_spawns = st.builds(
    SpawnThread,
    _threads,
    _parents,
    replaces=st.sampled_from([True, True, False]),
    messages=st.lists(st.one_of(_texts, _forced), max_size=2).map(tuple),
    allowed=st.sampled_from([None, None, ("look",)]),
    limits=_limits,
)
thread_messages: st.SearchStrategy[ThreadMessage] = st.one_of(_texts, _forced, _spawns)

outcomes = st.one_of(
    _reactions,
    st.builds(
        lambda thread_message: ToolOutcome(
            "Sent.", response_type=ResponseType.SEND_TO_THREAD, thread_message=thread_message
        ),
        thread_messages,
    ),
    st.just(ToolOutcome("{}", response_type=ResponseType.NEW_STAGE)),
)

_STAGE = ToolOutcome("OK", response_type=ResponseType.NEW_STAGE, stage=Stage("next", "You sell.", 0.0, None))

_from_outside = (
    st.builds(lambda s: ("event", lambda at: ev.SpawnRequested(at, s)), _spawns),
    st.builds(lambda m: ("event", lambda at: ev.UserTextReceived(at, m.text, m.urgency, m.thread)), _texts),
    st.builds(
        lambda m: (
            "event",
            lambda at: ev.ForcedMessageReceived(at, m.text, m.urgency, False, m.wants, m.known, m.thread),
        ),
        _forced,
    ),
    st.builds(lambda i: ("event", lambda at: ev.StagePrepared(at, f"{i}", _STAGE)), st.integers(0, 6)),
    st.builds(lambda g: ("event", lambda at: ev.ThreadTextFailed(at, g, "x")), _generations),
)
_from_engines = (
    st.builds(lambda g, w: ("event", lambda at: ev.ThreadTextWritten(at, g, w)), _generations, _words),
    st.builds(lambda g, r: ("event", lambda at: ev.ThreadToolRequested(at, g, r)), _generations, _requests),
    st.builds(
        lambda g, n: ("event", lambda at: ev.ThreadTextEnded(at, g, n, 0, n)), _generations, st.sampled_from([None, 5])
    ),
    st.builds(lambda i, o: ("event", lambda at: ev.ToolReturned(at, i, o)), _ids, outcomes),
)
steps = st.one_of(*_from_outside, *_from_engines, *_from_engines, *_from_engines)


FIRST = ("event", lambda at: ev.SpawnRequested(at, SpawnThread("a", messages=(UserText("a", "hello"),))))
"""A thread that has something to do."""


@dataclass
class ThreadWatch:
    """Checks every action that has to do with threads."""

    begun: int = 0
    running: set[int] = field(default_factory=set)
    living: set[str] = field(default_factory=set)

    def take(self, action: act.Action) -> None:
        match action:
            case act.GenerateForThread(generation=generation, prompt=prompt):
                assert generation > self.begun, "a generation's number is never used again"
                self.begun = generation
                self.running.add(generation)
                assert len(self.running) <= SETTINGS.at_once
                assert prompt.background
                called = [call.invocation for message in prompt.messages for call in message.tool_calls]
                assert called == [m.tool_call_id for m in prompt.messages if m.role == "tool"], "calls have results"
            case act.StopForThread(generation=generation):
                assert generation in self.running, "what is over is not stopped"
                self.running.remove(generation)
            case act.Invoke(thread=thread):
                assert thread == "UI" or thread in self.living, "only what lives uses tools"
            case act.Emit(message=message):
                self._told(message)

    def _told(self, message: Message) -> None:
        match message:
            case ThreadSpawned(thread=thread):
                assert thread not in self.living
                assert thread not in ("UI", "_PARENT")
                self.living.add(thread)
                assert len(self.living) <= SETTINGS.most
            case ThreadTerminated(thread=thread):
                assert thread in self.living, "a thread ends once"
                self.living.remove(thread)
            case SideGenerationDelta(thread=thread) | SideGenerationCompleted(thread=thread):
                assert thread in self.living, "what is over says nothing"
            case ThreadRejected(reason=reason):
                assert reason

    def over(self, event: ev.Event) -> None:
        """The engine has told the end of a generation."""
        if isinstance(event, ev.ThreadTextEnded | ev.ThreadTextFailed):
            self.running.discard(event.generation)
