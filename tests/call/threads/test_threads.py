"""Every row of the table in docs/threads.md, played on a virtual clock; and what a thread is told and knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import (
    CallEvent,
    Role,
    SideGenerationCompleted,
    SideGenerationDelta,
    ThreadRejected,
    ThreadSpawned,
    ThreadTerminated,
)
from antiphon.call.prompt import ChatMessage, Reaction, ToolRequest, ToolSpec
from antiphon.call.settings import FirstSpeaker, ThreadSettings
from antiphon.call.stages import Stage as NewStage
from antiphon.call.tools.outcomes import (
    PARENT_THREAD,
    ForcedMessage,
    ResponseType,
    SpawnThread,
    ThreadLimits,
    ToolOutcome,
    Urgency,
    UserText,
)
from tests.support.stage import Engines, Stage, settings

TABLE = Path(__file__).parents[3] / "docs" / "threads.md"
LOOK = ToolSpec("look", "Looks.", {"type": "object"})
FIND = ToolSpec("find", "Finds.", {"type": "object"})
HELLO = (ChatMessage("user", "Hello."), ChatMessage("assistant", "Welcome."))
SIDE = "side"
MESSAGES = {
    ThreadSpawned: "spawned",
    ThreadRejected: "rejected",
    ThreadTerminated: "terminated",
    SideGenerationCompleted: "completed",
}


def text(words: str) -> UserText:
    return UserText(SIDE, words)


def uses(name: str, invocation: str = "i", **known: ToolOutcome) -> ForcedMessage:
    return ForcedMessage(
        SIDE, wants=(ToolRequest(invocation, name),), known={invocation: known["known"]} if known else {}
    )


def spawn(*messages: UserText | ForcedMessage, **more: object) -> SpawnThread:
    return SpawnThread(**{"thread": SIDE, "messages": messages, **more})  # type: ignore[arg-type]


def call(*said: ChatMessage, threads: ThreadSettings | None = None, **engines: object) -> Stage:
    made = settings(
        first_speaker=FirstSpeaker(False, None),
        tools=(LOOK, FIND),
        system_prompt="You greet.",
        initial_messages=said or HELLO,
        initial_state={"a": 1},
        threads=threads or ThreadSettings(),
    )
    return Stage(made, Engines(**engines)).join()  # type: ignore[arg-type]


def spawned(*messages: UserText | ForcedMessage, stage: Stage | None = None, **more: object) -> Stage:
    return (stage or call()).at(0.1, lambda at: ev.SpawnRequested(at, spawn(*messages, **more)))


def thread_message(what: UserText | ForcedMessage | SpawnThread, reaction: Reaction = Reaction.LISTENS) -> ToolOutcome:
    return ToolOutcome("Sent.", response_type=ResponseType.SEND_TO_THREAD, thread_message=what, reaction=reaction)


def limited(*messages: UserText, usage: tuple[int | None, int, int | None] = (None, 0, None), **limits: int) -> Stage:
    stage = call(thread_usage=usage)
    return spawned(*(messages or (text("sum up"),)), stage=stage, limits=ThreadLimits(**limits)).run(10.0)


def main_tool_spawns() -> Stage:
    stage = call(wants=["look"], replies=lambda said: "", outcomes={"look": thread_message(spawn(text("sum up")))})
    return stage.speech(1.0, 2.0).run(10.0)


def parent_failed() -> Stage:
    stage = spawned(text("sum up"), stage=call(threads_fail=True)).run(2.0)
    stage.feed(ev.SpawnRequested(stage.now, spawn(text("more"), thread="child", parent=SIDE)))
    return stage.run(4.0)


def respawned() -> Stage:
    """The thread's tool has it begin anew, once."""
    again = thread_message(spawn(text("again"), replaces=True))
    stage = call(
        thread_generation=lambda said: [] if said == "again" else [ToolRequest("a", "look")],
        outcomes={"side/look": again},
    )
    return spawned(text("watch"), stage=stage).run(10.0)


def stage_changes() -> Stage:
    change = ToolOutcome("{}", response_type=ResponseType.NEW_STAGE)
    stage = call(aside_s=9.0, outcomes={"look": change}, new_stage=NewStage("s", "You sell.", 0.0, None))
    spawned(text("sum up"), stage=stage)
    forced = (ToolRequest("m", "look"),)
    stage.at(1.0, lambda at: ev.ForcedMessageReceived(at, "", Urgency.SOON, False, forced))
    return stage.run(5.0)


def call_ends() -> Stage:
    stage = spawned(text("sum up"), stage=call(aside_s=9.0))
    stage.at(1.0, lambda at: ev.EndRequested(at, EndReason.HANGUP, 1000, "bye"))
    return stage.run(5.0)


def with_later(stage: Stage, at: float, *messages: UserText | ForcedMessage) -> Stage:
    for message in messages:
        if isinstance(message, UserText):
            stage.at(at, lambda now, m=message: ev.UserTextReceived(now, m.text, m.urgency, m.thread))  # type: ignore[misc]
        else:
            stage.at(
                at,
                lambda now, m=message: ev.ForcedMessageReceived(  # type: ignore[misc]
                    now, m.text, m.urgency, False, m.wants, m.known, m.thread
                ),
            )
    return stage.run(10.0)


def respawn_later(stage: Stage, at: float) -> Stage:
    return stage.at(at, lambda now: ev.SpawnRequested(now, spawn(text("again"), replaces=True)))


def late_result(stage: Stage, at: float) -> Stage:
    return stage.at(at, lambda now: ev.ToolReturned(now, "i", ToolOutcome("late")))


def tool_outcome(outcome: ToolOutcome) -> Callable[[], Stage]:
    return lambda: spawned(uses("look"), stage=call(outcomes={"side/look": outcome})).run(10.0)


def filtered() -> Stage:
    stage = call(thread_generation=lambda said: [ToolRequest("a", "find")] if said == "sum up" else ["I cannot."])
    return spawned(text("sum up"), stage=stage, allowed=("look",)).run(10.0)


SCENES: dict[str, Callable[[], Stage]] = {
    "it is spawned with words for it": lambda: spawned(text("sum up")).run(10.0),
    "it is spawned after words of the caller": lambda: spawned(stage=call(*HELLO[:1])).run(10.0),
    "it is spawned after words of the agent": lambda: spawned().run(10.0),
    "it is spawned with a tool to use": lambda: spawned(uses("look")).run(10.0),
    "it is spawned with a tool whose result is known": lambda: spawned(uses("look", known=ToolOutcome("blue"))).run(
        10.0
    ),
    "its tool reacts with listens": tool_outcome(ToolOutcome("blue", reaction=Reaction.LISTENS)),
    "a tool of the main conversation spawns it": main_tool_spawns,
    "there is one of its id": lambda: spawned(text("more"), stage=spawned(text("sum up"))).run(10.0),
    "it replaces one of its id": lambda: respawn_later(spawned(text("sum up")), 0.3).run(10.0),
    "its tool respawns it": respawned,
    "its parent does not exist": lambda: spawned(text("sum up"), parent="nobody").run(10.0),
    "its parent has failed": parent_failed,
    "its id is UI": lambda: spawned(text("sum up"), thread="UI").run(10.0),
    "a forced message that is not its last has an open tool call": lambda: spawned(uses("look"), uses("find", "j")).run(
        10.0
    ),
    "a message comes while it generates": lambda: with_later(spawned(text("sum up")), 0.3, text("briefly")),
    "a message comes while its tool runs": lambda: with_later(spawned(uses("look")), 0.3, text("briefly")),
    "a message comes for a thread that there is not": lambda: with_later(call(), 0.3, text("hello")),
    "a message comes after it failed": lambda: with_later(
        spawned(text("sum up"), stage=call(threads_fail=True)), 2.0, text("hello")
    ),
    "it uses a tool that its filter leaves out": filtered,
    "its tool asks to hang up": tool_outcome(ToolOutcome("", response_type=ResponseType.HANG_UP)),
    "its tool asks for a new stage": tool_outcome(ToolOutcome("{}", response_type=ResponseType.NEW_STAGE)),
    "its tool writes to its parent": tool_outcome(
        thread_message(UserText(PARENT_THREAD, "It is done."), reaction=Reaction.SPEAKS)
    ),
    "it may generate no more": lambda: limited(generations=0),
    "it writes more than it may": lambda: limited(usage=(90, 0, 11), generation_output_tokens=10),
    "it would read more than it may": lambda: limited(text("x" * 50), generation_input_tokens=12),
    "it has read more than it may": lambda: limited(text("x" * 40), usage=(900, 0, 5), input_tokens=12),
    "its model fails": lambda: spawned(text("sum up"), stage=call(threads_fail=True)).run(10.0),
    "its model gives no sign of life": lambda: spawned(text("sum up"), stage=call(aside_s=None)).run(150.0),
    "its tool gives no answer in time": lambda: spawned(uses("look"), stage=call(tool_s=None)).run(20.0),
    "a result comes twice": lambda: late_result(spawned(uses("look")), 0.8).run(10.0),
    "a result comes after it was replaced": lambda: late_result(
        respawn_later(spawned(uses("look"), stage=call(tool_s=None)), 0.3), 0.5
    ).run(10.0),
    "words come for a generation that was stopped": lambda: respawn_later(spawned(text("sum up")), 0.605).run(10.0),
    "a new stage begins": stage_changes,
    "the call ends": call_ends,
}


def rows() -> list[tuple[str, str, str, str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ") and line.count("|") == 5]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    return [(row[0], row[1], row[2], row[3]) for row in cells]


def told(stage: Stage) -> str:
    return ", ".join(MESSAGES[type(message)] for message in stage.messages if type(message) in MESSAGES)


def noted(stage: Stage) -> str:
    kinds = [message.type for message in stage.messages if isinstance(message, CallEvent)]
    return ", ".join(kind for kind in kinds if kind.startswith(("thread", "side_generation", "tool_")))


def state(stage: Stage) -> str:
    return str(stage.call.threads.states().get(SIDE, {"state": "not there"})["state"])


def test_the_table_and_the_scenes_are_the_same() -> None:
    assert [row[0] for row in rows()] == list(SCENES)


@pytest.mark.parametrize(("when", "messages", "events", "then"), rows())
def test_a_row_of_the_table(when: str, messages: str, events: str, then: str) -> None:
    stage = SCENES[when]()
    assert (told(stage), noted(stage), state(stage)) == (messages, events, then)


def read(stage: Stage, index: int = -1) -> list[tuple[str, str]]:
    """What the model of a thread was given to read."""
    return [(message.role, message.text) for message in stage.thread_generation[index].prompt.messages]


def test_it_reads_a_copy_of_the_conversation_and_has_the_prompt_and_tools_of_the_stage() -> None:
    stage = spawned(text("sum up"), disallowed=("find",)).run(10.0)
    prompt = stage.thread_generation[0].prompt
    assert read(stage) == [("user", "Hello."), ("assistant", "Welcome."), ("user", "sum up")]
    assert (prompt.conversation, prompt.system, prompt.tools, prompt.background) == (
        "call/side",
        "You greet.",
        (LOOK,),
        True,
    )


def test_what_it_says_streams_and_ends_whole() -> None:
    stage = spawned(text("sum up")).run(10.0)
    deltas = [message for message in stage.messages if isinstance(message, SideGenerationDelta)]
    assert deltas == [SideGenerationDelta(SIDE, "To sum up: "), SideGenerationDelta(SIDE, "noted.")]
    assert [m for m in stage.messages if isinstance(m, SideGenerationCompleted)] == [
        SideGenerationCompleted(SIDE, "To sum up: noted.", ())
    ]
    assert stage.call.threads.states() == {SIDE: {"state": "IDLE", "lastResponse": "To sum up: noted."}}


def test_the_caller_hears_nothing_of_it_and_it_hears_nothing_of_the_caller() -> None:
    stage = spawned(text("sum up"), stage=call(aside_s=5.0)).speech(1.0, 2.0).run(12.0)
    assert [transcript.text for transcript in stage.finals(Role.AGENT)] == [
        "You said utterance 1. That is fine with me."
    ]
    assert stage.time_of(lambda a: isinstance(a, act.Generate)) < 4.0
    with_later(stage, 12.5, text("more"))
    assert "utterance 1" not in str(read(stage.run(20.0)))


def test_a_fork_of_a_tools_own_conversation_is_from_before_the_tool() -> None:
    child = spawn(text("go on"), thread="child", parent=SIDE)
    stage = spawned(text("sum up"), uses("look"), stage=call(outcomes={"side/look": thread_message(child)})).run(10.0)
    assert read(stage) == [("user", "Hello."), ("assistant", "Welcome."), ("user", "sum up go on")]
    assert main_tool_spawns().thread_generation[0].prompt.messages[-1].text == "utterance 1 sum up"


def test_a_thread_that_did_not_use_the_tool_is_forked_as_it_is() -> None:
    child = spawn(text("go on"), thread="child", parent="UI")
    stage = spawned(text("sum up"), uses("look"), stage=call(outcomes={"side/look": thread_message(child)})).run(10.0)
    assert read(stage) == [("user", "Hello."), ("assistant", "Welcome."), ("user", "go on")]


def test_what_its_tool_was_told_and_said_is_in_its_conversation() -> None:
    known = {"i": ToolOutcome("blue"), "j": ToolOutcome("green")}
    both = ForcedMessage(SIDE, "Let me see.", wants=(ToolRequest("i", "look"), ToolRequest("j", "find")), known=known)
    stage = spawned(both).run(10.0)
    assert [(m.role, m.text, len(m.tool_calls)) for m in stage.thread_generation[0].prompt.messages[1:]] == [
        ("assistant", "Welcome. Let me see.", 2),
        ("tool", "blue", 0),
        ("tool", "green", 0),
    ]


def test_its_tools_keep_a_state_of_their_own() -> None:
    changing = ToolOutcome("ok", state_update={"b": 2})
    stage = spawned(uses("look"), stage=call(outcomes={"side/look": changing})).run(10.0)
    assert stage.call.threads.state_of(SIDE) == {"a": 1, "b": 2}
    assert stage.call.call_state == {"a": 1}


def test_a_forced_message_of_words_alone_leaves_it_idle() -> None:
    stage = spawned(text("sum up"), ForcedMessage(SIDE, "I will, later.")).run(5.0)
    assert stage.thread_generation == []
    assert stage.call.threads.states() == {SIDE: {"state": "IDLE", "lastResponse": "I will, later."}}


def test_its_states() -> None:
    stage = spawned(text("sum up"))
    stage.run(0.3)
    assert state(stage) == "GENERATING"
    stage.run(3.0)
    stage.feed(ev.ForcedMessageReceived(stage.now, "", Urgency.SOON, False, (ToolRequest("i", "look"),), {}, SIDE))
    assert state(stage) == "CALLING_TOOL"
    assert [a.thread for _, a in stage.log if isinstance(a, act.Invoke)] == [SIDE]


def test_who_wants_to_generate_waits_in_order() -> None:
    stage = call(threads=ThreadSettings(at_once=2))
    for name in "abcd":
        spawned(UserText(name, f"for {name}"), stage=stage, thread=name)
    stage.run(0.3)
    assert [aside.generation for aside in stage.thread_generation] == [1, 2]
    assert [one["state"] for one in stage.call.threads.states().values()] == ["GENERATING"] * 4
    stage.feed(ev.SpawnRequested(stage.now, spawn(text("a again"), thread="a", replaces=True)))
    stage.run(10.0)
    assert [read(stage, index)[-1][1] for index in range(5)] == ["for a", "for b", "for c", "for d", "a again"]


def test_a_thread_that_respawns_itself_for_ever_does_not_keep_the_call_from_going_on() -> None:
    again = thread_message(spawn(text("again"), replaces=True))
    stage = call(
        thread_generation=lambda said: [ToolRequest("a", "look")],
        outcomes={"side/look": again},
        tool_s=0.01,
        aside_s=0.01,
    )
    spawned(text("watch"), stage=stage).speech(1.0, 2.0).run(10.0)
    assert len(stage.thread_generation) > 200
    assert len(stage.call.threads.states()) == 1
    assert [transcript.text for transcript in stage.finals(Role.AGENT)] == [
        "You said utterance 1. That is fine with me."
    ]


def test_the_same_forced_message_can_be_sent_again() -> None:
    stage = spawned(uses("look"))
    with_later(stage, 3.0, uses("look"))
    invoked = [action.request.invocation for _, action in stage.log if isinstance(action, act.Invoke)]
    assert invoked == ["i", "i-2"]
    assert len(stage.thread_generation) == 2


def test_words_to_the_main_conversation_are_answered_there() -> None:
    stage = SCENES["its tool writes to its parent"]()
    assert [transcript.text for transcript in stage.finals(Role.USER)] == ["It is done."]
    assert stage.prompts[-1].prompt.messages[-1].text == "It is done."


def test_an_immediate_letter_to_the_main_conversation_cuts_the_reply_and_hangs_up() -> None:
    bye = ToolOutcome("", response_type=ResponseType.HANG_UP, closing_message="Goodbye.", strict=True)
    hang_up = ForcedMessage("UI", urgency=Urgency.IMMEDIATE, wants=(ToolRequest("m", "look"),), known={"m": bye})
    stage = call(outcomes={"side/look": thread_message(hang_up)}, tool_s=2.0, replies=lambda said: "On and on. " * 30)
    spawned(uses("look"), stage=stage).speech(0.2, 0.8).run(10.0)
    assert "clear" in stage.wire()
    assert stage.finals(Role.AGENT)[-1].text == "Goodbye."
    assert stage.end is not None
    assert stage.end.reason is EndReason.AGENT_HANGUP


def test_a_child_has_no_more_tools_than_its_parent() -> None:
    stage = spawned(allowed=("look",)).run(1.0)
    stage.feed(ev.SpawnRequested(stage.now, spawn(text("go"), thread="child", parent=SIDE)))
    assert stage.thread_generation[0].prompt.tools == (LOOK,)


def test_a_tool_with_a_static_response_does_not_keep_it_waiting() -> None:
    stage = call()
    stage = Stage(replace(stage.settings, tools=(replace(LOOK, static_response="noted"),)), Engines(tool_s=3.0)).join()
    spawned(uses("look"), stage=stage).run(2.0)
    assert read(stage)[-1] == ("tool", "noted")
    assert stage.run(8.0).events("tool_result_late") == []
    assert stage.invoked == ["look"]
