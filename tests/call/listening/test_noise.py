"""Noise that sounds like speech: it does not keep the agent from talking, nor the caller from being heard."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call.listening.endpointing import FRAME_S
from antiphon.call.listening.noise import DEAFEST, MURMUR, Activation
from antiphon.call.messages import AgentState, Role
from antiphon.call.settings import FirstSpeaker, Greeting, VadSettings
from tests.support.stage import Engines, Stage, settings

WELCOME = "Welcome to the house of many calls. It has a great many rooms, and in each of them somebody is talking."
USER_FIRST = FirstSpeaker(agent=False, greeting=None)
FAN, MUSIC = 0.2, 0.6


def agent_said(stage: Stage) -> str:
    return " ".join(message.text or "" for message in stage.finals(Role.AGENT))


def asked_for_words(stage: Stage) -> int:
    return sum(isinstance(action, act.Transcribe) for _, action in stage.log)


def test_a_fan_that_is_switched_on_interrupts_a_reply_once_at_most() -> None:
    stage = Stage(settings(first_speaker=FirstSpeaker(True, Greeting(text=WELCOME)))).join()
    stage.noise(2.0, 60.0, FAN).run(60.0)
    assert agent_said(stage) == WELCOME
    assert len(stage.events("interruption")) == 1
    assert stage.finals(Role.USER) == []
    assert asked_for_words(stage) <= 2


def test_a_caller_beside_a_fan_is_answered() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().noise(0.0, 60.0, FAN).speech(10.0, 12.0).run(60.0)
    assert len(stage.finals(Role.USER)) == 1
    assert len(stage.finals(Role.AGENT)) == 1
    assert stage.time_of(lambda action: isinstance(action, act.Play)) < 13.0


def test_a_fan_that_begins_while_the_caller_speaks_does_not_keep_the_turn_open() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().speech(1.0, 3.0).noise(2.0, 60.0, FAN).run(60.0)
    assert stage.time_of(lambda action: isinstance(action, act.Play)) < 4.5
    assert agent_said(stage) == "You said utterance 1. That is fine with me."


def test_music_does_not_silence_a_reply_for_good() -> None:
    stage = Stage(settings(first_speaker=FirstSpeaker(True, Greeting(text=WELCOME)))).join()
    stage.noise(2.0, 60.0, MUSIC).run(60.0)
    assert agent_said(stage) == WELCOME
    assert len(stage.events("interruption")) == 1


def test_a_caller_is_heard_over_music_that_is_known() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().noise(0.0, 60.0, MUSIC).speech(20.0, 22.0).run(60.0)
    assert len(stage.finals(Role.USER)) == 1
    assert stage.time_of(lambda action: isinstance(action, act.Play)) < 23.0


def test_a_noise_as_clear_as_speech_stops_nothing_more_once_it_is_known_and_words_still_do() -> None:
    """A party next door: only words can tell the caller from it."""
    long = " ".join([WELCOME] * 8)
    stage = Stage(settings(first_speaker=FirstSpeaker(True, Greeting(text=long)))).join()
    stage.noise(2.0, 90.0, 0.95).run(29.0)
    assert len(stage.events("interruption")) == 1
    assert len(stage.events("resumed")) == 1
    assert stage.call.state is AgentState.SPEAKING
    stage.speech(30.0, 32.0).run(60.0)
    assert len(stage.finals(Role.USER)) == 1
    assert (stage.finals(Role.AGENT)[-1].text or "").startswith("You said")


def test_talk_without_a_pause_is_answered_after_a_minute() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().speech(1.0, 200.0).run(100.0)
    assert len(stage.finals(Role.USER)) == 1
    assert 61.0 < stage.time_of(lambda action: isinstance(action, act.Play)) < 62.0
    assert agent_said(stage) == "You said utterance 1. That is fine with me."


def test_talk_with_pauses_for_breath_is_not_cut_off() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join()
    for second in range(90):
        stage.speech(1.0 + second, 1.8 + second)
    stage.run(100.0)
    assert len(stage.finals(Role.USER)) == 1
    assert stage.time_of(lambda action: isinstance(action, act.Play)) > 90.0


def test_the_threshold_is_back_when_the_line_has_been_quiet() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST)).join().noise(1.0, 20.0, FAN)
    stage.run(19.0)
    activation = stage.call._talk.turn.activation
    assert activation.threshold == MURMUR
    stage.run(24.0)
    assert activation.threshold == 0.1


@pytest.mark.parametrize(
    ("probability", "seconds", "threshold"),
    [(0.2, 0.1, 0.1), (0.2, 0.5, MURMUR), (0.6, 0.9, 0.1), (0.6, 2.0, 0.62), (0.95, 5.0, DEAFEST)],
)
def test_what_a_noise_teaches(probability: float, seconds: float, threshold: float) -> None:
    activation = Activation(VadSettings(), FRAME_S)
    activation.begin()
    for _ in range(round(seconds / FRAME_S)):
        activation.hear(probability)
    activation.learn()
    assert activation.threshold == pytest.approx(threshold)


def test_a_noise_while_the_transcriber_fails_teaches_nothing() -> None:
    engines = Engines(unheard_of={(1, 1): 1})
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 4.0).run(3.5)
    assert stage.call._talk.turn.activation.threshold == 0.1
