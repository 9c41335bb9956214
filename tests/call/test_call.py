"""A call as a conversation, on a virtual clock."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, Modality, Role, StateChanged, Transcript
from antiphon.call.settings import EndBehavior, FirstSpeaker, Greeting, TimedMessage
from tests.support.stage import RATE, SAMPLES_A_CHARACTER, Engines, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)
TEN_CHARACTERS_A_SECOND = 0.0625 * RATE / SAMPLES_A_CHARACTER


def quiet_start(**changes: object) -> Stage:
    return Stage(settings(first_speaker=USER_FIRST, **changes))


def test_a_turn_runs_in_the_order_of_the_protocol() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).run(12.0)
    assert stage.wire() == [
        "listening",
        "user: utterance 1",
        "thinking",
        "speaking",
        "agent: You said utterance 1. That is fine with me.",
        "listening",
    ]


def test_the_answer_comes_with_the_endpoint_because_it_was_prepared_in_the_silence() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).run(12.0)
    begun = stage.time_of(lambda action: isinstance(action, act.Play))
    assert begun - 2.0 == pytest.approx(0.384, abs=0.035)


def test_without_opinion_or_words_the_answer_waits_for_the_words() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(transcription_s=1.0)).join().speech(1.0, 2.0).run(12.0)
    thinking = stage.time_of(lambda a: a == act.Emit(StateChanged(AgentState.THINKING)))
    assert thinking == pytest.approx(2.0 + 0.096 + 1.0, abs=0.04)


def test_a_speculation_is_dropped_without_a_trace_when_the_caller_goes_on() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).speech(2.3, 3.0).run(3.1)
    assert stage.wire() == ["listening"]
    assert [action for _, action in stage.log if isinstance(action, act.Stop)]
    stage.run(12.0)
    assert stage.wire()[1] == "user: utterance 1"
    assert len(stage.finals(Role.USER)) == 1


def test_an_unfinished_sentence_is_waited_for_but_not_for_ever() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(completeness=0.1)).join().speech(1.0, 2.0).run(12.0)
    begun = stage.time_of(lambda action: isinstance(action, act.Play))
    assert begun - 2.0 == pytest.approx(1.2, abs=0.04)


def test_an_interruption_clears_first_and_keeps_only_what_was_heard() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).speech(3.4, 4.0).run(3.9)
    stopped = stage.time_of(lambda a: isinstance(a, act.Stop) and a.reply == 1)
    assert 0.08 <= stopped - 3.4 <= 0.14
    assert stage.wire() == [
        "listening",
        "user: utterance 1",
        "thinking",
        "speaking",
        "clear",
        "agent: You said",
        "listening",
    ]
    stage.run(20.0)
    assert [message.text for message in stage.prompts[-1].prompt.messages] == ["utterance 1", "You said", "utterance 2"]


def test_nothing_of_a_stopped_reply_comes_through() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).speech(3.4, 4.0).run(3.8)
    before = len(stage.log)
    stage.feed(ev.TextGenerated(stage.now, 1, "stale"))
    stage.feed(ev.SpeechMade(stage.now, 1, 0, 10_000, ended=True))
    stage.feed(ev.PlayoutAdvanced(stage.now, 1, 10_000))
    assert len(stage.log) == before


def test_an_uninterruptible_greeting_plays_to_its_end_and_the_words_are_taken_after_it() -> None:
    greeting = FirstSpeaker(True, Greeting(text="Welcome to the house of calls", uninterruptible=True))
    stage = Stage(settings(first_speaker=greeting)).join().speech(0.3, 0.9).run(10.0)
    assert stage.wire()[:5] == [
        "thinking",
        "speaking",
        "agent: Welcome to the house of calls",
        "listening",
        "user: utterance 1",
    ]


def test_deltas_add_up_to_the_final_text_and_never_run_ahead() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).run(12.0)
    deltas = [m for m in stage.messages if isinstance(m, Transcript) and m.delta is not None]
    assert "".join(m.delta or "" for m in deltas).strip() == stage.finals(Role.AGENT)[0].text
    playing = stage.time_of(lambda action: isinstance(action, act.Play))
    said = ""
    for at, action in stage.log:
        if isinstance(action, act.Emit) and isinstance(action.message, Transcript) and action.message.delta:
            said += action.message.delta
            assert len(said.strip()) * SAMPLES_A_CHARACTER / RATE <= at - playing + 0.04


def test_text_messages_by_urgency() -> None:
    stage = quiet_start().join().speech(1.0, 2.0)
    stage.at(3.5, lambda at: ev.UserTextReceived(at, "by the way", ev.Urgency.LATER))
    stage.run(20.0)
    assert stage.wire().count("user: by the way") == 1
    assert len(stage.finals(Role.AGENT)) == 1
    stage.at(20.5, lambda at: ev.UserTextReceived(at, "hello there", ev.Urgency.SOON)).run(22.0)
    stage.at(22.1, lambda at: ev.UserTextReceived(at, "stop, listen", ev.Urgency.IMMEDIATE)).run(40.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["utterance 1", "by the way", "hello there", "stop, listen"]
    assert stage.finals(Role.AGENT)[-1].text == "You said stop, listen. That is fine with me."


def test_an_empty_immediate_message_only_interrupts() -> None:
    stage = quiet_start().join().speech(1.0, 2.0).run(3.4)
    stage.at(3.5, lambda at: ev.UserTextReceived(at, "", ev.Urgency.IMMEDIATE)).run(10.0)
    assert stage.wire()[-3:] == ["clear", "agent: You said", "listening"]


def test_in_text_words_flow_as_they_are_written() -> None:
    stage = quiet_start(modality=Modality.TEXT).join()
    stage.at(1.0, lambda at: ev.UserTextReceived(at, "hello", ev.Urgency.SOON)).run(3.0)
    assert stage.wire() == [
        "listening",
        "user: hello",
        "thinking",
        "speaking",
        "agent: You said hello. That is fine with me.",
        "listening",
    ]
    assert not [action for _, action in stage.log if isinstance(action, act.Speak | act.Play)]


def test_hang_up_says_its_words_and_ends_once() -> None:
    stage = quiet_start().join().at(1.0, lambda at: ev.HangUpReceived(at, "Good bye now"))
    stage.at(1.05, lambda at: ev.HangUpReceived(at, "again")).run(20.0)
    assert stage.end == act.End(EndReason.AGENT_HANGUP, 1000, "agent_hangup")
    assert stage.finals(Role.AGENT)[0].text == "Good bye now"


def test_the_client_leaving_mid_reply_keeps_what_was_heard() -> None:
    stage = quiet_start().join().speech(1.0, 2.0)
    stage.at(3.5, lambda at: ev.EndRequested(at, EndReason.HANGUP, 1000, "bye")).run(5.0)
    assert stage.end == act.End(EndReason.HANGUP, 1000, "bye")
    assert [message.text for message in stage.call.messages] == ["utterance 1", "You said"]
    assert stage.call.ended


def test_the_time_limit_says_its_message() -> None:
    stage = quiet_start(max_duration_s=5.0, time_exceeded_message="Time is up").join().run(20.0)
    assert stage.end == act.End(EndReason.TIMEOUT, 1000, "timeout")
    assert stage.finals(Role.AGENT)[0].text == "Time is up"


def test_inactivity_messages_are_cumulative_and_started_over_by_the_caller() -> None:
    messages = (
        TimedMessage(5.0, "Are you there"),
        TimedMessage(5.0, "Then good bye", EndBehavior.HANG_UP_SOFT),
    )
    stage = quiet_start(inactivity=messages).join().speech(6.5, 7.2).run(60.0)
    assert [m.text for m in stage.finals(Role.AGENT)][-2:] == ["Are you there", "Then good bye"]
    assert stage.end == act.End(EndReason.AGENT_HANGUP, 1000, "agent_hangup")


def test_a_soft_hang_up_is_off_when_the_caller_speaks_a_strict_one_is_not() -> None:
    for behavior, ended in ((EndBehavior.HANG_UP_SOFT, False), (EndBehavior.HANG_UP_STRICT, True)):
        message = TimedMessage(5.0, "I will end this call now, good bye", behavior)
        stage = quiet_start(inactivity=(message,)).join().speech(5.6, 6.5).run(9.0)
        assert (stage.end is not None) is ended


def test_user_first_with_a_fallback() -> None:
    first = FirstSpeaker(False, Greeting(text="Hello, is anybody there", delay_s=3.0))
    silent = Stage(settings(first_speaker=first)).join().run(8.0)
    assert silent.finals(Role.AGENT)[0].text == "Hello, is anybody there"
    talking = Stage(settings(first_speaker=first)).join().speech(1.0, 2.0).run(15.0)
    assert [m.text for m in talking.finals(Role.AGENT)] == ["You said utterance 1. That is fine with me."]


def test_a_broken_model_is_apologised_for_and_then_given_up() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(generation_fails=True))
    stage.join().speech(1.0, 2.0).run(10.0)
    assert stage.wire()[:4] == ["listening", "user: utterance 1", "thinking", "speaking"]
    assert stage.wire()[4].startswith("agent: Sorry")


def test_a_broken_speaker_ends_the_call_after_a_few_tries() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(speaker_fails=True))
    stage.join().speech(1.0, 2.0).speech(4.0, 5.0).speech(7.0, 8.0).run(20.0)
    assert stage.end == act.End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer")


def test_a_stalled_model_does_not_leave_the_call_thinking_for_ever() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST), Engines(stalls=True)).join().speech(1.0, 2.0).run(40.0)
    assert stage.call.state is AgentState.LISTENING
    assert stage.events("engine_stalled")


def test_audio_that_stops_coming_does_not_hang_the_turn() -> None:
    stage = quiet_start().join().run(1.0)
    for frame in range(30):
        stage.feed(ev.SpeechScored(1.0 + frame * 0.001, 1.0 + frame * 0.032, 0.9))
    stage._due = [item for item in stage._due if item[2] != stage._frame]
    stage.run(10.0)
    assert [m.text for m in stage.finals(Role.USER)] == ["utterance 1"]


def test_media_idle_ends_the_call() -> None:
    stage = quiet_start(media_idle_s=1.0).join()
    stage._due = [item for item in stage._due if item[2] != stage._frame]
    stage.run(30.0)
    assert stage.end is not None
    assert stage.end.reason is EndReason.CONNECTION_ERROR
    assert stage.end.close_code == 1001


def test_a_speech_model_hears_the_audio_and_does_not_wait_for_the_words() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, speech_model=True), Engines(transcription_s=2.0))
    stage.join().speech(1.0, 2.0).run(15.0)
    assert stage.prompts[0].utterance == 1
    assert stage.prompts[0].prompt.messages == ()
    assert stage.wire()[:3] == ["listening", "thinking", "speaking"]
    user, agent = stage.finals(Role.USER)[0], stage.finals(Role.AGENT)[0]
    assert user.ordinal < agent.ordinal
    assert [message.role for message in stage.call.messages] == [Role.USER, Role.AGENT]
