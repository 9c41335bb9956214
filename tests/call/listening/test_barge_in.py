"""How soon speech over a reply stops it."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.messages import Role
from antiphon.call.settings import FirstSpeaker, Greeting, VadSettings
from tests.support.stage import FRAME_S, Engines, Stage, settings

LONG = "Welcome to the house of many calls. It has a great many rooms, and in each of them somebody is talking."


def greeted(engines: Engines | None = None, **vad: float) -> Stage:
    """An agent that is speaking from about 0.1 to 6.4 s."""
    first = FirstSpeaker(True, Greeting(text=LONG))
    return Stage(settings(first_speaker=first, vad=VadSettings(**vad)), engines).join()


def frames_until_stopped(stage: Stage, start: float) -> int:
    stopped = stage.run(20.0).time_of(lambda action: isinstance(action, act.Stop))
    return round((stopped - start) / FRAME_S)


START = 63 * FRAME_S
"""2.016 s: a frame begins here."""


def test_three_frames_of_speech_stop_a_reply() -> None:
    assert frames_until_stopped(greeted().speech(START, 4.0), START) == 3


@pytest.mark.parametrize(("hisses", "frames"), [(1, 2), (2, 1), (4, 1)])
def test_the_hiss_that_a_word_begins_with_counts_up_to_two_frames(hisses: int, frames: int) -> None:
    stage = greeted().hiss(START - hisses * FRAME_S, START).speech(START, 4.0)
    assert frames_until_stopped(stage, START) == frames


def test_a_hiss_that_was_over_before_does_not_count() -> None:
    stage = greeted().hiss(START - 4 * FRAME_S, START - FRAME_S).speech(START, 4.0)
    assert frames_until_stopped(stage, START) == 3


def test_a_longer_minimum_is_shortened_by_no_more_than_the_hiss() -> None:
    stage = greeted(minimum_interruption_s=0.5).hiss(START - 5 * FRAME_S, START).speech(START, 4.0)
    assert frames_until_stopped(stage, START) == 14


def test_a_hiss_alone_stops_nothing() -> None:
    stage = greeted().hiss(1.0, 3.0).run(20.0)
    assert [m.text for m in stage.finals(Role.AGENT)] == [LONG]


def test_a_hiss_counts_only_with_what_is_clearly_speech() -> None:
    """A detector in doubt, frame after frame, has to doubt as long as before."""
    stage = greeted().hiss(START - 5 * FRAME_S, START)
    call, doubt = stage.call, 0.3
    stage.run(START + FRAME_S / 2)
    for frame in (1, 2):
        call.receive(ev.SpeechScored(stage.now, START + frame * FRAME_S, doubt, 30.0))
        assert not [action for action in call.actions() if isinstance(action, act.Stop)]
    call.receive(ev.SpeechScored(stage.now, START + 3 * FRAME_S, doubt, 30.0))
    assert [action for action in call.actions() if isinstance(action, act.Stop)]


def test_a_click_with_a_hiss_before_it_is_no_reason_to_fall_silent() -> None:
    """One frame of speech is no utterance: what it stopped goes on."""
    stage = greeted().hiss(START - 5 * FRAME_S, START).speech(START, START + FRAME_S).run(30.0)
    assert stage.events("resumed")
    assert " ".join(m.text or "" for m in stage.finals(Role.AGENT)) == LONG
    assert stage.finals(Role.USER) == []
