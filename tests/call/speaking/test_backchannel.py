"""Going on after "mm-hmm", and yielding to everything else."""

from __future__ import annotations

import pytest

from antiphon.call import events as ev
from antiphon.call.messages import AgentState, Role
from antiphon.call.prompt import ToolRequest, ToolSpec
from antiphon.call.settings import FirstSpeaker
from antiphon.call.speaking.backchannel import is_backchannel
from antiphon.call.tools.outcomes import ToolOutcome
from tests.support.stage import Engines, Stage, settings

LONG = "I have quite a lot to tell you about this house. It was built a very long time ago by two brothers."


@pytest.mark.parametrize(
    "text", ["Mm-hmm.", "mhm", "Yeah.", "Right, right.", "Okay.", "Uh-huh", "I see.", "Oh, wow.", "", "...", "Got it!"]
)
def test_a_backchannel(text: str) -> None:
    assert is_backchannel(text, 0.5, after_question=False)


@pytest.mark.parametrize(
    "text", ["Wait.", "No.", "Stop.", "Right, but why?", "Yeah, I know that already.", "What?", "Okay, thank you, bye."]
)
def test_a_turn(text: str) -> None:
    assert not is_backchannel(text, 0.5, after_question=False)


def test_after_a_question_it_is_an_answer() -> None:
    assert not is_backchannel("Yeah.", 0.4, after_question=True)
    assert is_backchannel("", 0.4, after_question=True)


def test_what_is_long_is_a_turn() -> None:
    assert not is_backchannel("right right right right", 2.0, after_question=False)


def over_a_reply(said: str, **changes: object) -> Stage:
    """The caller asks from 1 to 2 s, and says ``said`` from 4.5 to 5 s, over the answer."""
    engines = Engines(words=["tell me", said, "and then"], replies=lambda text: LONG if text == "tell me" else "Well.")
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), **changes), engines)
    return stage.join().speech(1.0, 2.0).speech(4.5, 5.0)


def test_the_reply_goes_on_where_it_stopped_and_no_turn_is_left() -> None:
    stage = over_a_reply("Mm-hmm.").run(30.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["tell me"]
    heard = [m.text or "" for m in stage.finals(Role.AGENT)]
    assert len(heard) == 2
    assert " ".join(heard) == LONG
    assert len(stage.events("resumed")) == 1
    assert len(stage.prompts) == 1
    assert stage.wire()[4] == "clear"
    assert stage.call.state is AgentState.LISTENING


def test_it_goes_on_soon() -> None:
    stage = over_a_reply("").run(30.0)
    resumed = [at for at, action in stage.log if type(action).__name__ == "Play"][1]
    assert resumed - 5.0 < 0.5


def test_words_are_a_turn() -> None:
    stage = over_a_reply("No, stop.").run(30.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["tell me", "No, stop."]
    assert stage.finals(Role.AGENT)[-1].text == "Well."
    assert not stage.events("resumed")


def test_switched_off_it_is_a_turn() -> None:
    stage = over_a_reply("Mm-hmm.", backchannels=False).run(30.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["tell me", "Mm-hmm."]


def test_a_client_that_interrupts_has_decided() -> None:
    stage = over_a_reply("Mm-hmm.")
    stage.at(4.8, lambda at: ev.UserTextReceived(at, "", ev.Urgency.IMMEDIATE)).run(30.0)
    assert not stage.events("resumed")
    assert len(stage.finals(Role.AGENT)) >= 1


def test_a_tool_behind_the_words_is_used_after_they_were_resumed() -> None:
    stage = over_a_reply("Mm-hmm.", tools=(ToolSpec("look", "Looks.", {"type": "object"}),))
    stage.engines.wants = ["look"]
    stage.run(4.7)
    stage.engines.wants = []
    stage.run(40.0)
    assert stage.invoked == ["look"]


def test_a_forced_message_with_tools() -> None:
    look = ToolSpec("look", "Looks.", {"type": "object"})
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), tools=(look,))).join()
    wants = (ToolRequest("a", "look", {"at": "it"}), ToolRequest("b", "look", {"at": "that"}))
    known = {"b": ToolOutcome("a bird")}
    stage.at(1.0, lambda at: ev.ForcedMessageReceived(at, "One moment", ev.Urgency.SOON, True, wants, known)).run(20.0)
    assert stage.invoked == ["look"]
    results = [message.text for message in stage.call.messages if getattr(message, "role", "") == "tool_result"]
    assert results == ["done", "a bird"]
    assert len(stage.finals(Role.AGENT)) == 2
