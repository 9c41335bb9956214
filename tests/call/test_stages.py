"""A call changes its stage: what goes on, what is new, and what does not begin."""

from __future__ import annotations

from dataclasses import replace

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.messages import Role
from antiphon.call.prompt import ChatMessage, Reaction, ToolRequest, ToolSpec
from antiphon.call.settings import FirstSpeaker
from antiphon.call.stages import Stage as NewStage
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome, Urgency
from tests.support.stage import Engines, Stage, settings

LOOK = ToolSpec("look", "Looks.", {"type": "object"})
FIND = ToolSpec("find", "Finds.", {"type": "object"})
SALES = NewStage("sales", "You sell.", 0.5, "de", (FIND,))
CHANGE = ToolOutcome("{}", response_type=ResponseType.NEW_STAGE)


def call(
    new_stage: NewStage = SALES, words: str = "", outcome: ToolOutcome = CHANGE, wants: tuple[str, ...] = ("look",)
) -> Stage:
    """The caller speaks from 1 to 2 s; what the model then uses changes the stage."""

    def reply(said: str) -> str:
        return words if said.startswith("utterance") else f"It says {said}."

    engines = Engines(
        replies=reply, wants=list(wants), outcomes={"look": outcome, "find": outcome}, new_stage=new_stage
    )
    tools = (LOOK, replace(FIND, reaction=Reaction.LISTENS))
    made = settings(
        first_speaker=FirstSpeaker(False, None),
        tools=tools,
        system_prompt="You greet.",
        initial_state={"a": 1},
        initial_messages=(ChatMessage("assistant", "Welcome."),),
    )
    return Stage(made, engines).join().speech(1.0, 2.0)


def begun(stage: Stage) -> list[act.BeginStage]:
    return [action for _, action in stage.log if isinstance(action, act.BeginStage)]


def test_what_was_said_goes_on_under_another_prompt() -> None:
    stage = call().run(12.0)
    prompt = stage.prompts[-1].prompt
    assert (prompt.system, prompt.temperature, prompt.language, prompt.tools) == ("You sell.", 0.5, "de", (FIND,))
    assert [(message.role, message.text) for message in prompt.messages] == [
        ("assistant", "Welcome."),
        ("user", "utterance 1"),
        ("assistant", ""),
        ("tool", "OK"),
    ]
    assert begun(stage) == [act.BeginStage("sales", 3)]
    assert stage.events("stage_begun")


def test_its_own_messages_stand_for_all_that_was_said_before() -> None:
    fresh = replace(SALES, messages=(ChatMessage("user", "I want a car."),))
    stage = call(fresh).run(2.7)
    stage.engines.wants = []
    stage.run(8.0)
    assert [message.text for message in stage.prompts[-1].prompt.messages] == ["I want a car."]
    stage.speech(8.2, 9.0).run(12.0)
    assert [message.text for message in stage.prompts[-1].prompt.messages] == [
        "I want a car.",
        "It says I want a car..",
        "utterance 2",
    ]
    assert len(stage.call.messages) == 5, "the call's own record goes on"


def test_the_state_stays_unless_the_stage_brings_one() -> None:
    changing = replace(CHANGE, state_update={"b": 2})
    assert call(outcome=changing).run(12.0).call.call_state == {"a": 1, "b": 2}
    assert call(replace(SALES, state={"c": 3}), outcome=changing).run(12.0).call.call_state == {"c": 3}


def test_only_the_tools_of_the_stage_are_there() -> None:
    stage = call().run(8.0)
    stage.engines.outcomes.clear()
    stage.speech(8.2, 9.0).run(14.0)  # the model wants the tool that it had before
    assert stage.invoked == ["look"]
    assert "There is no tool called look" in stage.prompts[-1].prompt.messages[-1].text


def test_the_agent_may_listen_after_the_change() -> None:
    stage = call(outcome=replace(CHANGE, reaction=Reaction.LISTENS)).run(6.0)
    assert begun(stage)
    assert stage.finals(Role.AGENT) == []


def test_of_two_new_stages_the_first_begins() -> None:
    stage = call(wants=("look", "find")).run(12.0)
    assert len(begun(stage)) == 1
    assert stage.events("stage_not_begun")


def test_a_hang_up_beside_it_counts_more() -> None:
    stage = call(wants=("look", "find"))
    stage.engines.outcomes["find"] = ToolOutcome("", response_type=ResponseType.HANG_UP, strict=True)
    stage.run(12.0)
    assert begun(stage) == []
    assert stage.end is not None


def test_a_second_result_while_the_stage_is_made_is_late() -> None:
    stage = call()
    while not any(isinstance(action, act.PrepareStage) for _, action in stage.log):
        stage.run(stage.now + 0.01)
    invocation = next(action.invocation for _, action in stage.log if isinstance(action, act.PrepareStage))
    stage.feed(ev.ToolReturned(stage.now, invocation, ToolOutcome("again")))
    stage.run(12.0)
    assert stage.events("tool_result_late")
    assert len(begun(stage)) == 1


def test_a_stage_that_is_never_made_is_given_up() -> None:
    stage = call()
    stage.engines.new_stage = None
    while not any(isinstance(action, act.PrepareStage) for _, action in stage.log):
        stage.run(stage.now + 0.01)
    prepare = next(action for _, action in stage.log if isinstance(action, act.PrepareStage))
    stage._due = [item for item in stage._due if item[0] > stage.now + 0.06 or item[0] <= stage.now + 0.04]
    stage.run(20.0)
    assert stage.events("tool_failed")
    stage.feed(ev.StagePrepared(stage.now, prepare.invocation, replace(CHANGE, stage=SALES)))
    assert begun(stage) == []


def test_the_program_around_the_call_changes_the_stage_by_a_known_result() -> None:
    stage = call(wants=())
    stage.at(
        5.0,
        lambda at: ev.ForcedMessageReceived(
            at, "One moment.", Urgency.SOON, False, (ToolRequest("x", "look"),), {"x": CHANGE}
        ),
    )
    stage.run(15.0)
    assert len(begun(stage)) == 1
    assert stage.invoked == []
    assert stage.prompts[-1].prompt.system == "You sell."


def test_what_the_caller_says_meanwhile_is_answered_in_the_new_stage() -> None:
    stage = call().speech(2.6, 3.4).run(3.3)
    stage.engines.wants = []
    stage.run(12.0)
    assert [prompt.prompt.system for prompt in stage.prompts] == ["You greet.", "You sell."]
    assert stage.prompts[-1].prompt.messages[-1].text == "utterance 2"
