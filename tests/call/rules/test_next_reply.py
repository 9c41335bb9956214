"""Who has the floor: noises, interruptions of what was not heard yet, messages over the caller, farewells."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, Modality, Role
from antiphon.call.settings import EndBehavior, FirstSpeaker, Greeting, TimedMessage, VadSettings
from tests.support.stage import Engines, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)
NOISE = ""


def agent_words(stage: Stage) -> list[str | None]:
    return [message.text for message in stage.finals(Role.AGENT)]


def user_words(stage: Stage) -> list[str | None]:
    return [message.text for message in stage.finals(Role.USER)]


# Noises


@pytest.mark.parametrize("delay_s", [0.0, 0.6])
def test_a_noise_at_the_start_does_not_swallow_the_greeting(delay_s: float) -> None:
    first = FirstSpeaker(True, Greeting(text="Hello, who is there", delay_s=delay_s))
    stage = Stage(settings(first_speaker=first), Engines(words=[NOISE], speech_s=0.5)).join().speech(0.1, 0.4).run(10.0)
    assert agent_words(stage) == ["Hello, who is there"]


def test_a_noise_does_not_swallow_a_greeting_that_is_being_written() -> None:
    engines = Engines(words=[NOISE], first_text_s=1.0, replies=lambda _: "Hello there")
    stage = Stage(settings(), engines).join().speech(0.3, 0.6).run(10.0)
    assert agent_words(stage) == ["Hello there"]


def test_a_caller_who_speaks_first_is_answered_and_not_greeted() -> None:
    first = FirstSpeaker(True, Greeting(text="Hello, who is there", delay_s=0.6))
    stage = Stage(settings(first_speaker=first)).join().speech(0.1, 1.0).run(10.0)
    assert agent_words(stage) == ["You said utterance 1. That is fine with me."]


def test_a_noise_while_the_agent_thinks_does_not_swallow_the_answer() -> None:
    engines = Engines(words=["what time is it", NOISE], first_text_s=2.0)
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).speech(3.0, 3.3).run(20.0)
    assert user_words(stage) == ["what time is it"]
    assert agent_words(stage) == ["You said what time is it. That is fine with me."]


def test_words_while_the_agent_thinks_are_answered_together_with_those_before() -> None:
    engines = Engines(first_text_s=2.0)
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).speech(3.0, 3.6).run(20.0)
    assert user_words(stage) == ["utterance 1", "utterance 2"]
    assert len(agent_words(stage)) == 1
    assert [m.text for m in stage.prompts[-1].prompt.messages] == ["utterance 1 utterance 2"]


def test_it_takes_no_long_interruption_to_go_on_while_the_agent_thinks() -> None:
    """``minimumInterruptionDuration`` guards the agent's speech, and there is none yet."""
    vad = VadSettings(minimum_interruption_s=1.0)
    engines = Engines(first_text_s=2.0)
    stage = Stage(settings(first_speaker=USER_FIRST, vad=vad), engines).join().speech(1.0, 2.0).speech(3.0, 3.6)
    stage.run(20.0)
    assert user_words(stage) == ["utterance 1", "utterance 2"]
    assert len(agent_words(stage)) == 1


def test_a_reply_of_which_nothing_was_heard_is_given_again_after_a_noise() -> None:
    engines = Engines(words=["what time is it", NOISE])
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(2.3)
    stage.speech(2.43, 2.7).run(20.0)
    assert agent_words(stage)[-1] == "You said what time is it. That is fine with me."
    assert user_words(stage) == ["what time is it"]


# Messages of the program around the call


def test_a_message_over_the_caller_is_heard_although_the_caller_goes_on() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().speech(1.0, 6.0)
    stage.at(2.0, lambda at: ev.ForcedMessageReceived(at, "Fire alarm", ev.Urgency.IMMEDIATE, uninterruptible=False))
    stage.run(20.0)
    assert agent_words(stage)[0] == "Fire alarm"
    assert user_words(stage) == ["utterance 1"]
    assert len(agent_words(stage)) == 2


def test_a_message_over_the_caller_is_interrupted_by_what_is_said_after_a_breath() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().speech(1.0, 2.5).speech(2.7, 5.0)
    text = "A rather long message that goes on and on and on about nothing at all"
    stage.at(2.0, lambda at: ev.ForcedMessageReceived(at, text, ev.Urgency.IMMEDIATE, uninterruptible=False)).run(20.0)
    assert 0 < len(agent_words(stage)[0] or "") < len(text)
    assert user_words(stage) == ["utterance 1"]


def test_a_message_interrupted_before_it_was_heard_is_said_later() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(speech_s=0.5)).join().speech(1.3, 2.0)
    stage.at(1.1, lambda at: ev.ForcedMessageReceived(at, "One more thing", ev.Urgency.SOON, uninterruptible=False))
    stage.run(20.0)
    assert "One more thing" in agent_words(stage)
    assert user_words(stage) == ["utterance 1"]
    assert len(agent_words(stage)) == 2


# The medium of the agent's words


def test_the_output_medium_changes_with_the_end_of_the_utterance() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().speech(1.0, 2.0)
    stage.at(3.0, lambda at: ev.OutputMediumSet(at, Modality.TEXT))
    stage.at(8.0, lambda at: ev.UserTextReceived(at, "and now", ev.Urgency.SOON)).run(20.0)
    assert [m.modality for m in stage.finals(Role.AGENT)] == [Modality.VOICE, Modality.TEXT]
    assert agent_words(stage)[0] == "You said utterance 1. That is fine with me."


# Failures


def test_a_model_that_stays_broken_is_given_up_although_its_apologies_are_heard() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(generation_fails=True)).join()
    for start in (1.0, 12.0, 24.0, 36.0):
        stage.speech(start, start + 1.0)
    stage.run(60.0)
    assert stage.end == act.End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer")
    assert len(agent_words(stage)) == 2


def test_failures_that_are_not_in_a_row_do_not_end_the_call() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines()).join()
    for turn in range(8):
        stage.speech(1.0 + 15 * turn, 2.0 + 15 * turn)
        stage.run(0.5 + 15 * turn)
        stage.engines.generation_fails = turn % 2 == 1
    stage.run(130.0)
    assert stage.end is None


def test_an_empty_generation_ends_in_listening_and_is_noted() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(replies=lambda _: "")).join().speech(1.0, 2.0).run(10.0)
    assert stage.wire() == ["listening", "user: utterance 1", "thinking", "listening"]
    assert stage.events("empty_reply")


# Inactivity


def test_a_soft_hang_up_is_off_when_the_caller_begins_to_speak_at_its_very_end() -> None:
    message = TimedMessage(5.0, "Good bye", EndBehavior.HANG_UP_SOFT)
    stage = Stage(settings(first_speaker=USER_FIRST, inactivity=(message,))).join()
    stage.run(5.0)
    length_s = (len("Good bye") + 1) * 1_000 / 16_000
    stage.speech(5.02 + length_s - 0.07, 7.0).run(7.2)
    assert stage.end is None
    stage.run(10.0)
    assert user_words(stage) == ["utterance 1"]


def test_a_soft_hang_up_is_off_when_the_caller_writes_meanwhile() -> None:
    message = TimedMessage(5.0, "Then I will end this call now", EndBehavior.HANG_UP_SOFT)
    stage = Stage(settings(first_speaker=USER_FIRST, inactivity=(message,))).join()
    stage.at(5.5, lambda at: ev.UserTextReceived(at, "wait", ev.Urgency.SOON)).run(10.5)
    assert stage.end is None
    assert agent_words(stage)[-1] == "You said wait. That is fine with me."


def test_no_question_whether_anybody_is_there_after_the_time_is_up() -> None:
    stage = Stage(
        settings(
            first_speaker=USER_FIRST,
            inactivity=(TimedMessage(5.0, "Are you there"),),
            max_duration_s=5.0,
            time_exceeded_message="Time is up",
        )
    )
    stage.join().run(20.0)
    assert agent_words(stage) == ["Time is up"]


def test_inactivity_is_counted_from_the_end_of_the_last_reply() -> None:
    inactivity = (TimedMessage(5.0, "Are you there"), TimedMessage(3.0, "Hello"))
    stage = Stage(settings(first_speaker=USER_FIRST, inactivity=inactivity)).join().speech(1.0, 2.0).run(60.0)
    plays = [at for at, action in stage.log if isinstance(action, act.Play)]
    finals = [
        at for at, action in stage.log if isinstance(action, act.Emit) and action.message in stage.finals(Role.AGENT)
    ]
    assert plays[1] - finals[0] == pytest.approx(5.0, abs=0.06)
    assert plays[2] - finals[1] == pytest.approx(3.0, abs=0.06)
    assert len(plays) == 3
    assert stage.call.state is AgentState.LISTENING


def test_the_prompt_is_read_ahead_while_fixed_words_greet() -> None:
    stage = Stage(settings(first_speaker=FirstSpeaker(True, Greeting(text="Hello")))).join()
    assert [action for _, action in stage.log if isinstance(action, act.Prime)]
