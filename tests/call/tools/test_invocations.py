"""Every row of the table in docs/tools.md, played on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.history import ToolMessage
from antiphon.call.messages import AgentState, Role
from antiphon.call.prompt import Reaction, ToolSpec
from antiphon.call.settings import FirstSpeaker
from antiphon.call.stages import Stage as NewStage
from antiphon.call.tools.outcomes import ResponseType, SpawnThread, ToolOutcome
from tests.support.stage import Engines, Stage, settings

TABLE = Path(__file__).parents[3] / "docs" / "tools.md"
WORDS = "Let me look that up for you, one moment"


def tool(name: str = "look", **more: object) -> ToolSpec:
    return ToolSpec(name, "Looks.", {"type": "object"}, **more)  # type: ignore[arg-type]


def scene(
    *specs: ToolSpec, words: str = WORDS, wants: tuple[str, ...] = ("look",), interrupt: bool = False, **engines: object
) -> Stage:
    """The caller asks from 1 to 2 s; the answer has ``words`` and wants tools; to their results the agent says more."""

    def reply(said: str) -> str:
        return words if said.startswith("utterance") else f"It says {said}."

    made = Engines(replies=reply, wants=list(wants), **engines)  # type: ignore[arg-type]
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), tools=specs or (tool(),)), made)
    stage.join().speech(1.0, 2.0)
    if interrupt:
        stage.speech(3.2, 3.9)
    return stage


def interrupted(stage: Stage) -> Stage:
    """Until the interrupting words are answered, with words only."""
    stage.run(3.8)
    stage.engines.wants = []
    return stage.run(30.0)


def caller_goes_on() -> Stage:
    stage = scene(words="").speech(2.3, 3.0).run(2.4)
    assert [action for _, action in stage.log if isinstance(action, act.Generate)]
    stage.engines.wants = []
    return stage.run(12.0)


def caller_speaks_meanwhile() -> Stage:
    stage = scene(words="", tool_s=3.0).speech(3.0, 3.8).run(3.7)
    stage.engines.wants = []
    stage.run(30.0)
    assert [message.role for message in stage.prompts[-1].prompt.messages] == ["user", "assistant", "tool", "user"]
    assert stage.call.state is AgentState.LISTENING
    return stage


def result_after_giving_up() -> Stage:
    stage = scene(tool(timeout_s=1.0), words="", tool_s=None).run(12.0)
    stage.feed(ev.ToolReturned(stage.now, stage_invocation(stage), ToolOutcome("too late")))
    assert stage.events("tool_result_late")
    return stage.run(20.0)


def result_twice() -> Stage:
    stage = scene(words="").run(12.0)
    stage.feed(ev.ToolReturned(stage.now, stage_invocation(stage), ToolOutcome("again")))
    assert stage.events("tool_result_late")
    return stage.run(20.0)


def unknown_invocation() -> Stage:
    stage = scene(wants=()).run(9.0)
    answers = len(stage.finals(Role.AGENT))
    stage.feed(ev.ToolReturned(stage.now, "nobody's", ToolOutcome("hello")))
    assert stage.events("tool_result_unknown")
    assert len(stage.run(15.0).finals(Role.AGENT)) == answers
    return stage


def call_ends_meanwhile() -> Stage:
    stage = scene(words="", tool_s=5.0).run(3.0)
    stage.feed(ev.EndRequested(stage.now, EndReason.HANGUP, 1000, "bye"))
    return stage


def result_after_the_end() -> Stage:
    stage = call_ends_meanwhile()
    stage.feed(ev.ToolReturned(stage.now + 1, stage_invocation(stage), ToolOutcome("too late")))
    return stage


def stage_invocation(stage: Stage) -> str:
    return next(message.request.invocation for message in stage.call.messages if isinstance(message, ToolMessage))


def hanging_up(message: str) -> Callable[[], Stage]:
    outcome = ToolOutcome("", response_type=ResponseType.HANG_UP, closing_message=message)
    return lambda: scene(words="", outcomes={"look": outcome}).run(12.0)


def reacting(reaction: Reaction, words: str = WORDS) -> Callable[[], Stage]:
    return lambda: scene(tool(reaction=reaction), words=words).run(30.0)


SENT = ToolOutcome("sent", response_type=ResponseType.SEND_TO_THREAD, thread_message=SpawnThread("aside"))
SALES = NewStage("sales", "You sell.", 0.5, "en")


def new_stage(made: NewStage | None) -> Stage:
    outcome = ToolOutcome("{}", response_type=ResponseType.NEW_STAGE)
    return scene(words="", outcomes={"look": outcome}, new_stage=made)


def stage_being_made() -> Stage:
    stage = new_stage(SALES).run(2.3)
    while not any(isinstance(action, act.PrepareStage) for _, action in stage.log):
        stage.run(stage.now + 0.01)
    stage.feed(ev.EndRequested(stage.now, EndReason.HANGUP, 1000, "bye"))
    return stage.run(12.0)


SCENES: dict[str, Callable[[], Stage]] = {
    "its words are heard to the end": lambda: scene().run(30.0),
    "there are no words": lambda: scene(words="").run(12.0),
    "its words are interrupted": lambda: interrupted(scene(interrupt=True)),
    "the caller goes on before the turn has ended": caller_goes_on,
    "the caller speaks while it runs": caller_speaks_meanwhile,
    "precomputable, and its words are heard": lambda: scene(tool(precomputable=True)).run(30.0),
    "precomputable, and its words are interrupted": lambda: interrupted(
        scene(tool(precomputable=True), interrupt=True)
    ),
    "several are asked for at once": lambda: scene(
        tool(), tool("find"), wants=("look", "find"), words="", tool_s=1.0
    ).run(12.0),
    "it reacts with listens": reacting(Reaction.LISTENS),
    "it reacts with speaks-once after words": reacting(Reaction.SPEAKS_ONCE),
    "it reacts with speaks-once without words": reacting(Reaction.SPEAKS_ONCE, words=""),
    "the result names another reaction": lambda: scene(
        outcomes={"look": ToolOutcome("done", reaction=Reaction.LISTENS)}
    ).run(30.0),
    "it has a static response": lambda: scene(tool(static_response="noted"), words="").run(12.0),
    "it fails": lambda: scene(words="", outcomes={"look": ToolOutcome("It broke.", failed=True)}).run(12.0),
    "the result asks for a new stage": lambda: new_stage(SALES).run(12.0),
    "the result asks for a new stage that cannot be made": lambda: new_stage(None).run(12.0),
    "the call ends while the new stage is made": stage_being_made,
    "the result is a message to a thread": lambda: scene(words="", outcomes={"look": SENT}).run(12.0),
    "no result comes in time": lambda: scene(tool(timeout_s=1.0), words="", tool_s=None).run(20.0),
    "a result comes after it was given up": result_after_giving_up,
    "a result comes twice": result_twice,
    "a result comes for an unknown invocation": unknown_invocation,
    "the model asks for a tool that there is not": lambda: scene(words="", wants=("dance",)).run(12.0),
    "the model's arguments are no JSON": lambda: scene(words="", wants=("look?",)).run(12.0),
    "the result hangs up": hanging_up(""),
    "the result hangs up with a message": hanging_up("Good bye then"),
    "the call ends while it runs": call_ends_meanwhile,
    "a result comes after the end": result_after_the_end,
}


def rows() -> list[tuple[str, str, str, str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    return [(row[0], row[1], row[2], row[3]) for row in cells]


def on_record(stage: Stage) -> str:
    kinds = []
    failed = {message.text for message in stage.events("tool_failed")}
    for message in stage.call.messages:
        if isinstance(message, ToolMessage):
            result = "failure" if any(message.text in text for text in failed if message.text) else "result"
            static = "static " if message.text == "noted" else ""
            kinds.append("call" if message.role == "tool_call" else static + result)
    return ", ".join(kinds) or "nothing"


def times_run(stage: Stage) -> str:
    if len(stage.invoked) > 1:
        return "once each" if len(set(stage.invoked)) == len(stage.invoked) else "twice"
    return "once" if stage.invoked else "never"


def afterwards(stage: Stage) -> str:
    """What the agent did after the results: an answer to them begins with "It says"."""
    if stage.end is not None and stage.end.reason is EndReason.AGENT_HANGUP:
        return "says it, hangs up" if stage.finals(Role.AGENT) else "hangs up"
    if stage.end is not None:
        return "is gone"
    answers = [prompt for prompt in stage.prompts if any(m.role == "tool" for m in prompt.prompt.messages)]
    if answers and answers[-1].prompt.system == SALES.system_prompt:
        return "speaks, in the new stage"
    return "speaks" if answers else "listens"


def test_the_table_and_the_scenes_are_the_same() -> None:
    assert [row[0] for row in rows()] == list(SCENES)


@pytest.mark.parametrize(("when", "runs", "record", "then"), rows())
def test_a_row_of_the_table(when: str, runs: str, record: str, then: str) -> None:
    stage = SCENES[when]()
    assert (times_run(stage), on_record(stage), afterwards(stage)) == (runs, record, then)


def test_a_tool_waits_until_its_words_are_heard_and_the_agent_thinks_while_it_runs() -> None:
    stage = scene(tool_s=2.0).run(30.0)
    assert stage.wire()[:7] == [
        "listening",
        "user: utterance 1",
        "thinking",
        "speaking",
        f"agent: {WORDS}",
        "thinking",
        "speaking",
    ]
    heard = stage.time_of(lambda a: isinstance(a, act.Emit) and getattr(a.message, "text", None) == WORDS)
    assert stage.time_of(lambda a: isinstance(a, act.Invoke)) == heard


def test_a_precomputable_tool_begins_with_its_words() -> None:
    stage = scene(tool(precomputable=True)).run(30.0)
    assert stage.time_of(lambda a: isinstance(a, act.Invoke)) <= stage.time_of(lambda a: isinstance(a, act.Play)) + 0.1


def test_a_result_that_changes_the_calls_state_carries_what_it_is_from_then_on() -> None:
    first, second = tool("first"), tool("second")
    stage = scene(first, second, words="", wants=("first", "second"), tool_s=None).run(2.8)
    one, two = (action.request.invocation for _, action in stage.log if isinstance(action, act.Invoke))
    stage.feed(ev.ToolReturned(stage.now, two, ToolOutcome("b", state_update={"x": 2, "y": {"z": 1}})))
    assert stage.call.call_state == {"x": 2, "y": {"z": 1}}  # before the other has answered
    stage.feed(ev.ToolReturned(stage.now, one, ToolOutcome("a", state_update={"x": 1})))
    states = {message.request.name: message.state for message in results(stage)}
    assert states == {"first": {"x": 1, "y": {"z": 1}}, "second": {"x": 2, "y": {"z": 1}}}
    assert stage.call.call_state == states["first"]


def test_a_result_that_changes_nothing_says_nothing_of_the_state() -> None:
    stage = scene(words="", outcomes={"look": ToolOutcome("a", state_update={})}).run(12.0)
    assert [message.state for message in results(stage)] == [None]


def test_a_result_dropped_with_its_words_changes_no_state() -> None:
    ahead = tool(precomputable=True)
    stage = interrupted(scene(ahead, interrupt=True, outcomes={"look": ToolOutcome("a", state_update={"x": 1})}))
    assert stage.events("tool_result_dropped")
    assert stage.call.call_state == {}


def results(stage: Stage) -> list[ToolMessage]:
    return [
        action.message
        for _, action in stage.log
        if isinstance(action, act.Keep)
        and isinstance(action.message, ToolMessage)
        and action.message.role == "tool_result"
    ]
