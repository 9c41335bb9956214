"""Engines that hang, trickle or fail, as the core sees them: an apology, or the end, but never silence for ever."""

from __future__ import annotations

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, Modality, Role
from antiphon.call.rules.endings import APOLOGY_AGAIN_S
from antiphon.call.settings import EndBehavior, FirstSpeaker, TimedMessage, TurnSettings
from antiphon.call.speaking.agenda import APOLOGY
from tests.support.stage import RATE, Engines, Sound, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)
GIVEN_UP = act.End(EndReason.SYSTEM_ERROR, 1011, "the agent cannot answer")
TURNS = TurnSettings()
ANSWERED_AT = 2.4
"""About when the caller's turn, said from 1 to 2 s, is answered."""


def stage_of(engines: Engines, modality: Modality = Modality.VOICE) -> Stage:
    return Stage(settings(first_speaker=USER_FIRST, modality=modality), engines).join().speech(1.0, 2.0)


def said(stage: Stage) -> list[tuple[Modality, str | None]]:
    return [(m.modality, m.text) for m in stage.finals(Role.AGENT)]


def stalled_at(stage: Stage) -> float:
    stalled = stage.events("engine_stalled")[0]
    return stage.time_of(lambda action: isinstance(action, act.Emit) and action.message == stalled)


@pytest.mark.parametrize("modality", list(Modality))
def test_a_model_without_a_sign_of_life_is_apologised_for_soon(modality: Modality) -> None:
    stage = stage_of(Engines(stalls=True), modality).run(20.0)
    assert stalled_at(stage) == pytest.approx(ANSWERED_AT + TURNS.first_words_patience_s, abs=0.2)
    assert stage.events("engine_stalled")[0].extras["stage"] == "model"
    assert said(stage) == [(modality, APOLOGY)]
    assert stage.call.state is AgentState.LISTENING


def test_a_model_that_reads_is_waited_for_but_not_for_ever() -> None:
    stage = stage_of(Engines(stalls=True))
    for second in range(3, 100):
        stage.at(second, lambda at: ev.GenerationAlive(at, 1))
    stage.run(100.0)
    assert stalled_at(stage) == pytest.approx(ANSWERED_AT + TURNS.first_sound_patience_s, abs=0.2)
    assert said(stage) == [(Modality.VOICE, APOLOGY)]


def test_a_model_that_reads_and_then_writes_is_not_apologised_for() -> None:
    stage = stage_of(Engines(stalls=True))
    for second in range(3, 30):
        stage.at(second, lambda at: ev.GenerationAlive(at, 1))
    stage.at(30.0, lambda at: ev.TextGenerated(at, 1, "At last."))
    stage.at(30.1, lambda at: ev.GenerationEnded(at, 1)).run(40.0)
    assert said(stage) == [(Modality.VOICE, "At last.")]


def test_signs_of_life_of_an_old_reply_are_dropped() -> None:
    stage = stage_of(Engines(stalls=True))
    for second in range(3, 30):
        stage.at(second, lambda at: ev.GenerationAlive(at, 0))
    stage.run(20.0)
    assert stage.events("engine_stalled")


def test_a_model_that_falls_silent_amid_its_words_is_given_up_after_what_it_said() -> None:
    stage = stage_of(Engines(stalls=True)).run(3.0)
    stage.feed(ev.TextGenerated(stage.now, 1, "The first sentence is here. "))
    stage.run(30.0)
    assert [text for _, text in said(stage)] == ["The first sentence is here.", APOLOGY]
    heard_at = 3.0 + len("The first sentence is here. ") * 1000 / RATE
    assert stalled_at(stage) == pytest.approx(heard_at + TURNS.reply_patience_s, abs=0.3)


@pytest.mark.parametrize("blank", [False, True])
def test_a_model_that_trickles_is_given_up(blank: bool) -> None:
    """A word every three seconds, or only spaces: each is a sign of life."""
    stage = stage_of(Engines(stalls=True)).run(3.0)
    stage.feed(ev.TextGenerated(stage.now, 1, "The first sentence is here. "))
    for number in range(100):
        stage.at(3.0 + 3 * number, lambda at: ev.TextGenerated(at, 1, " " if blank else "word "))
    stage.run(200.0)
    assert said(stage)[-1] == (Modality.VOICE, APOLOGY)
    assert stalled_at(stage) < 3.0 + 2.0 + TURNS.silence_patience_s * 1.5
    assert stage.call.state is AgentState.LISTENING


def test_a_voice_without_a_sign_of_life_ends_in_writing_and_then_in_the_end() -> None:
    stage = stage_of(Engines())
    stage._speak = lambda *_: None  # type: ignore[method-assign]
    stage.run(60.0)
    assert {event.extras["stage"] for event in stage.events("engine_stalled")} == {"voice"}
    assert said(stage) == [(Modality.TEXT, APOLOGY)]
    assert stage.end == GIVEN_UP
    ends_at = stage.time_of(lambda action: isinstance(action, act.End))
    assert ends_at == pytest.approx(ANSWERED_AT + 3 * TURNS.first_words_patience_s + APOLOGY_AGAIN_S, abs=0.3)


def test_a_broken_voice_is_tried_again_and_then_the_call_is_given_up_although_the_caller_waits() -> None:
    stage = stage_of(Engines(speaker_fails=True)).run(60.0)
    assert said(stage) == [(Modality.TEXT, APOLOGY)]
    assert stage.end == GIVEN_UP
    ends_at = stage.time_of(lambda action: isinstance(action, act.End))
    assert ends_at == pytest.approx(ANSWERED_AT + APOLOGY_AGAIN_S, abs=0.5)


def test_a_voice_that_fails_once_apologises_itself() -> None:
    stage = stage_of(Engines(speaker_fails=True)).run(2.3)
    while not stage.events("speaking_failed"):
        stage.run(stage.now + 0.01)
    stage.engines.speaker_fails = False
    stage.run(20.0)
    assert said(stage) == [(Modality.VOICE, APOLOGY)]
    assert stage.end is None


def test_a_voice_that_works_again_makes_good_for_the_apology_it_could_not_speak() -> None:
    stage = stage_of(Engines(speaker_fails=True)).run(4.0)
    assert said(stage) == [(Modality.TEXT, APOLOGY)]
    stage.engines.speaker_fails = False
    stage.run(20.0)
    assert said(stage) == [(Modality.TEXT, APOLOGY), (Modality.VOICE, APOLOGY)]
    assert stage.end is None


def test_no_apology_is_tried_again_once_the_caller_was_answered() -> None:
    stage = stage_of(Engines(speaker_fails=True)).speech(4.2, 5.0).run(4.0)
    stage.engines.speaker_fails = False
    stage.run(30.0)
    assert said(stage) == [(Modality.TEXT, APOLOGY), (Modality.VOICE, "You said utterance 2. That is fine with me.")]


def test_a_voice_that_makes_no_sound_of_words_has_failed() -> None:
    stage = stage_of(Engines())
    stage._speak = lambda reply, clause, text: stage._later(  # type: ignore[method-assign]
        0.02, lambda: stage.feed(ev.SpeechMade(stage.now, reply, clause, 0, ended=True))
    )
    stage.run(30.0)
    assert stage.events("speaking_failed")
    assert said(stage) == [(Modality.TEXT, APOLOGY)]
    assert stage.end == GIVEN_UP


def test_a_voice_slower_than_life_is_given_up_when_its_silences_add_up() -> None:
    """A tenth of a second of sound every half a second: each is a sign of life."""
    stage = stage_of(Engines(replies=lambda _: "One long sentence that is never whole"))
    speak = stage._speak

    def trickle(reply: int, clause: int, text: str, made: int = RATE // 10) -> None:
        if reply != 1:
            speak(reply, clause, text)
            return
        stage.sounds.setdefault(reply, Sound()).made[clause] = made
        stage.feed(ev.SpeechMade(stage.now, reply, clause, made, ended=False))
        stage._later(0.5, lambda: trickle(reply, clause, text, made + RATE // 10))

    stage._speak = trickle  # type: ignore[method-assign]
    stage.run(60.0)
    assert stage.events("engine_stalled")[0].extras["stage"] == "voice"
    assert 0 < stalled_at(stage) - ANSWERED_AT - TURNS.silence_patience_s < 5.0
    assert said(stage)[-1] == (Modality.VOICE, APOLOGY)


def test_a_client_that_takes_no_sound_for_a_while_is_not_the_engines_fault() -> None:
    stage = stage_of(Engines())
    stage._position = lambda sound: 1_000  # type: ignore[method-assign]
    stage.run(ANSWERED_AT + TURNS.first_sound_patience_s - 5.0)
    assert not stage.events("engine_stalled")
    assert stage.call.state is AgentState.SPEAKING


def test_a_transcriber_that_does_not_answer_is_apologised_for() -> None:
    stage = stage_of(Engines(deaf=True)).run(30.0)
    assert stalled_at(stage) == pytest.approx(ANSWERED_AT + TURNS.transcription_patience_s, abs=0.5)
    assert said(stage) == [(Modality.VOICE, APOLOGY)]


def test_a_fallback_is_an_event_of_the_call() -> None:
    stage = stage_of(Engines()).run(0.5)
    stage.feed(ev.EngineFellBack(stage.now, "model", "main", "spare", "the server answered 503"))
    event = stage.events("engine_fallback")[0]
    assert event.text == "the server answered 503"
    assert event.extras == {"stage": "model", "engine": "main", "fallback": "spare"}


@pytest.mark.parametrize("end", [EndBehavior.HANG_UP_SOFT, EndBehavior.HANG_UP_STRICT])
def test_last_words_that_cannot_be_spoken_are_not_apologised_for(end: EndBehavior) -> None:
    message = TimedMessage(5.0, "Then good bye", end)
    engines = Engines(speaker_fails=True)
    stage = Stage(settings(first_speaker=USER_FIRST, inactivity=(message,)), engines).join().run(20.0)
    assert said(stage) == []
    assert stage.end == act.End(EndReason.AGENT_HANGUP, 1000, "agent_hangup")
