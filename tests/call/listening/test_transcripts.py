"""From utterances to words: late, lost, failing, and those said just before the end."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, Role
from antiphon.call.settings import FirstSpeaker, Greeting, TimedMessage
from tests.support.stage import Engines, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)


def user_words(stage: Stage) -> list[str | None]:
    return [message.text for message in stage.finals(Role.USER)]


def left(at: float) -> ev.Event:
    return ev.EndRequested(at, EndReason.HANGUP, 1000, "bye")


# Failures


def test_a_failed_speculation_is_nobodys_business_when_the_caller_goes_on() -> None:
    engines = Engines(unheard_of={(1, 1): 1})
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).speech(2.3, 3.0).run(15.0)
    assert stage.wire() == [
        "listening",
        "user: utterance 1",
        "thinking",
        "speaking",
        "agent: You said utterance 1. That is fine with me.",
        "listening",
    ]


def test_a_failed_speculation_is_asked_again_when_the_turn_ends() -> None:
    engines = Engines(unheard_of={(1, 1): 1})
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(15.0)
    assert user_words(stage) == ["utterance 1"]
    assert [m.text for m in stage.finals(Role.AGENT)] == ["You said utterance 1. That is fine with me."]


def test_a_transcriber_that_fails_twice_is_apologised_for_once() -> None:
    engines = Engines(unheard_of={(1, 1): 2})
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).speech(12.0, 13.0).run(30.0)
    said = [m.text or "" for m in stage.finals(Role.AGENT)]
    assert [text[:5] for text in said] == ["Sorry", "You s"]
    assert user_words(stage) == ["utterance 2"]


def test_a_transcriber_that_never_answers_does_not_leave_the_caller_alone() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(deaf=True)).join().speech(1.0, 2.0).run(30.0)
    assert stage.events("engine_stalled")
    assert (stage.finals(Role.AGENT)[0].text or "").startswith("Sorry")
    assert stage.call.state is AgentState.LISTENING


def test_silence_is_counted_again_after_a_transcriber_that_never_answers() -> None:
    inactivity = (TimedMessage(5.0, "Are you there"),)
    stage = Stage(settings(first_speaker=USER_FIRST, inactivity=inactivity), Engines(deaf=True))
    stage.join().speech(1.0, 2.0).run(40.0)
    assert stage.finals(Role.AGENT)[-1].text == "Are you there"


def test_a_speech_model_answers_although_the_transcriber_fails() -> None:
    engines = Engines(unheard_of={(1, 1): 5})
    stage = Stage(settings(first_speaker=USER_FIRST, speech_model=True), engines).join().speech(1.0, 2.0).run(15.0)
    assert len(stage.finals(Role.AGENT)) == 1
    assert not (stage.finals(Role.AGENT)[0].text or "").startswith("Sorry")


# Several


def test_words_that_come_in_the_wrong_order_are_taken_in_the_right_one() -> None:
    engines = Engines(transcription_s=1.5, delays={2: 0.1})
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).speech(2.7, 3.2).run(20.0)
    assert user_words(stage) == ["utterance 1", "utterance 2"]
    assert len(stage.finals(Role.AGENT)) == 1
    assert [m.text for m in stage.prompts[-1].prompt.messages] == ["utterance 1 utterance 2"]


def test_all_that_was_said_over_an_uninterruptible_greeting_is_taken_after_it_and_answered_once() -> None:
    greeting = FirstSpeaker(True, Greeting(text="Welcome to the house of many calls, my friend", uninterruptible=True))
    stage = Stage(settings(first_speaker=greeting)).join().speech(0.3, 0.9).speech(1.6, 2.2).run(15.0)
    assert user_words(stage) == ["utterance 1", "utterance 2"]
    assert len(stage.finals(Role.AGENT)) == 2


def test_words_still_awaited_when_a_written_message_is_answered_at_once_are_not_lost() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(transcription_s=1.0)).join().speech(1.0, 2.0)
    stage.at(2.6, lambda at: ev.UserTextReceived(at, "I wrote this", ev.Urgency.IMMEDIATE)).run(20.0)
    assert user_words(stage) == ["I wrote this", "utterance 1"]
    said = [m.text for m in stage.prompts[-1].prompt.messages if m.role == "user"]
    assert said[-1] == "utterance 1"


def test_a_speech_model_knows_the_words_of_the_turn_before() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, speech_model=True), Engines(transcription_s=2.0, first_text_s=1.0))
    stage.join().speech(1.0, 2.0).speech(2.6, 3.2).run(20.0)
    assert stage.prompts[-1].utterance == 2
    assert [m.text for m in stage.prompts[-1].prompt.messages] == ["utterance 1"]


def test_a_speech_models_draft_is_used_when_the_words_are_there_already() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, speech_model=True)).join().speech(1.0, 2.0).run(15.0)
    assert [(wish.utterance, wish.prompt.messages) for wish in stage.prompts] == [(1, ())]
    assert user_words(stage) == ["utterance 1"]
    assert stage.call.messages[0].role is Role.USER


# The end


@pytest.mark.parametrize("leaves_at", [1.8, 2.05, 2.2, 2.45])
@pytest.mark.parametrize("speech_model", [False, True])
def test_what_the_caller_said_last_is_on_record(leaves_at: float, speech_model: bool) -> None:
    """Gone while speaking, in the first silence, with the words asked for, with the turn ended."""
    engines = Engines(transcription_s=0.7)
    stage = Stage(settings(first_speaker=USER_FIRST, speech_model=speech_model), engines).join().speech(1.0, 2.0)
    stage.at(leaves_at, left).run(10.0)
    assert [m.text for m in stage.call.messages] == ["utterance 1"]
    assert stage.end == act.End(EndReason.HANGUP, 1000, "bye")
    assert stage.log[-1][0] < leaves_at + 1.0


def test_the_end_does_not_wait_for_a_transcriber_that_never_answers() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(deaf=True)).join().speech(1.0, 2.0).at(1.9, left)
    stage.run(20.0)
    assert stage.end is not None
    assert 2.0 < stage.log[-1][0] < 6.0


def test_nothing_is_begun_while_last_words_are_awaited() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(transcription_s=2.0)).join().speech(1.0, 2.0)
    stage.at(2.5, left).speech(2.7, 3.6)
    stage.at(2.8, lambda at: ev.UserTextReceived(at, "too late", ev.Urgency.IMMEDIATE)).run(10.0)
    assert user_words(stage) == ["utterance 1"]
    assert not [wish for wish in stage.prompts if wish.prompt.messages[-1].text == "too late"]


def test_what_is_said_over_the_farewell_is_on_record_and_not_answered() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join()
    stage.at(1.0, lambda at: ev.HangUpReceived(at, "Good bye and thank you so much for calling us")).speech(1.5, 2.0)
    stage.run(20.0)
    assert user_words(stage) == ["utterance 1"]
    assert len(stage.finals(Role.AGENT)) == 1
    assert stage.end is not None


def test_the_time_limit_keeps_what_the_caller_is_saying() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, max_duration_s=3.0)).join().speech(2.0, 10.0).run(20.0)
    assert user_words(stage) == ["utterance 1"]
    assert stage.end == act.End(EndReason.TIMEOUT, 1000, "timeout")
    assert stage.log[-1][0] < 3.5
