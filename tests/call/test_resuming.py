"""Going on with a reply that the model was still writing when the caller said "mm-hmm" over it."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.messages import AgentState, Role
from antiphon.call.prompt import ToolSpec
from antiphon.call.settings import FirstSpeaker
from tests.support.stage import Engines, Stage, settings

LONG = (
    "I have quite a lot to tell you about this house. It was built a very long time ago by two brothers. "
    "They did not like each other at all. So they built two doors and two stairs."
)
LOOK = ToolSpec("look", "Looks.", {"type": "object"})


def over_a_reply_in_the_making(said: str, a_word_s: float = 0.25, **engines: object) -> Stage:
    """The caller asks from 1 to 2 s and says ``said`` from 4.5 to 5 s, while the model still writes its answer."""
    words = ["tell me", said, "and then"]
    scripted = Engines(
        words=words,
        replies=lambda text: LONG if text == "tell me" else "Well.",
        a_word_s=a_word_s,
        **engines,  # type: ignore[arg-type]
    )
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), tools=(LOOK,)), scripted)
    return stage.join().speech(1.0, 2.0).speech(4.5, 5.0)


def agent_said(stage: Stage) -> str:
    return " ".join(message.text or "" for message in stage.finals(Role.AGENT) if message.text)


def stops(stage: Stage) -> list[act.Stop]:
    return [action for _, action in stage.log if isinstance(action, act.Stop)]


@pytest.mark.parametrize("a_word_s", [0.1, 0.15, 0.25, 0.35])
def test_it_goes_on_at_the_word_where_it_stopped_and_the_model_is_asked_once(a_word_s: float) -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", a_word_s).run(60.0)
    assert agent_said(stage) == LONG
    assert len(stage.prompts) == 1
    assert stops(stage) == [act.Stop(1, keep_writing=True)]
    assert [m.text for m in stage.finals(Role.USER)] == ["tell me"]
    assert stage.call.state is AgentState.LISTENING


def test_what_is_written_while_it_is_undecided_is_not_lost() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", 0.15, delays={2: 4.0}).run(60.0)
    assert agent_said(stage) == LONG
    assert len(stage.prompts) == 1


def test_twice() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", 0.3)
    stage.engines.words[2] = "Right."
    stage.speech(7.0, 7.4).run(60.0)
    assert len(stage.events("resumed")) == 2
    assert agent_said(stage) == LONG
    assert len(stage.prompts) == 1


def test_the_model_is_stopped_when_it_was_a_turn() -> None:
    stage = over_a_reply_in_the_making("No, stop.").run(60.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["tell me", "No, stop."]
    assert stops(stage)[:2] == [act.Stop(1, keep_writing=True), act.Stop(1)]
    assert stage.finals(Role.AGENT)[-1].text == "Well."
    assert not stage.events("resumed")


def test_the_model_is_stopped_when_the_client_has_decided() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.")
    stage.at(4.8, lambda at: ev.UserTextReceived(at, "", ev.Urgency.IMMEDIATE)).run(60.0)
    assert stops(stage)[:2] == [act.Stop(1, keep_writing=True), act.Stop(1)]
    assert not stage.events("resumed")


def test_a_reply_that_was_resumed_and_then_cut_off_stops_the_model() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", 0.4)
    stage.at(7.0, lambda at: ev.UserTextReceived(at, "enough", ev.Urgency.IMMEDIATE)).run(60.0)
    assert act.Stop(1) in stops(stage)
    assert stage.finals(Role.AGENT)[-1].text == "Well."
    assert LONG not in agent_said(stage)


def test_a_model_that_breaks_off_meanwhile() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", delays={2: 1.0})
    stage.at(5.2, lambda at: ev.GenerationFailed(at, 1, "broken")).run(60.0)
    assert stage.events("generation_failed")
    said = agent_said(stage)
    assert LONG.startswith(said)
    assert len(said) > 40
    assert stage.call.state is AgentState.LISTENING


def test_a_tool_that_is_wanted_meanwhile_is_used_once_after_the_words() -> None:
    stage = over_a_reply_in_the_making("Mm-hmm.", 0.12, delays={2: 3.0}, wants=["look"])
    stage.run(8.0)
    assert stage.invoked == []
    stage.engines.wants = []
    stage.run(60.0)
    assert stage.invoked == ["look"]
    assert agent_said(stage).startswith(LONG)


def test_a_tool_that_is_wanted_meanwhile_is_not_used_after_a_turn() -> None:
    stage = over_a_reply_in_the_making("No, stop.", 0.12, delays={2: 3.0}, wants=["look"])
    stage.run(7.5)
    stage.engines.wants = []
    stage.run(60.0)
    assert stage.invoked == []


def test_a_speech_model_that_does_not_wait_for_words_still_waits_to_know_an_mm_hmm_from_a_turn() -> None:
    engines = Engines(words=["tell me", "Mm-hmm.", "and then"], replies=lambda _: LONG, delays={2: 0.6})
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), speech_model=True), engines).join()
    stage.speech(1.0, 2.0).speech(4.5, 5.0).run(60.0)
    assert agent_said(stage) == LONG
    assert len(stage.events("resumed")) == 1


def test_a_speech_model_takes_long_speech_for_a_turn_without_its_words() -> None:
    engines = Engines(words=["tell me", "Well, what I want to know is this", "and then"], replies=lambda _: LONG)
    engines.delays[2] = 3.0
    stage = Stage(settings(first_speaker=FirstSpeaker(False, None), speech_model=True), engines).join()
    stage.speech(1.0, 2.0).speech(4.5, 7.0).run(60.0)
    assert not stage.events("resumed")
    assert len(stage.finals(Role.USER)) == 2
