"""What the events of a call tell about why the server waited, stopped and went on."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from antiphon import metrics
from antiphon.call.messages import CallEvent
from antiphon.call.settings import FirstSpeaker
from tests.support.stage import Engines, Stage, settings

LONG = "I have quite a lot to tell you about this house. It was built a very long time ago by two brothers."
USER_FIRST = FirstSpeaker(agent=False, greeting=None)


def turn_ended(words: str = "That is all.", ends: float | None = None, **changes: Any) -> dict[str, Any]:
    engines = Engines(words=[words], ends=ends, **changes)
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(10.0)
    (event,) = stage.events("turn_ended")
    return event.extras


@pytest.mark.parametrize(
    ("words", "ends", "completeness", "reason", "kind", "waited_ms"),
    [
        ("That is all.", 0.9, 0.97, "sound", "ended", 400),
        ("That is all.", 0.9, 0.02, "words", "ended", 400),
        ("My name is", 0.0, 0.97, "patience", "open", 1200),
        ("That is all.", None, 0.02, "patience", "likely", 1200),
        ("that is all", None, 0.97, "sound", "unmarked", 400),
    ],
)
def test_why_a_turn_was_held_to_be_over(
    words: str, ends: float | None, completeness: float, reason: str, kind: str, waited_ms: int
) -> None:
    extras = turn_ended(words, ends, completeness=completeness)
    assert (extras["reason"], extras["words"], extras["completeness"]) == (reason, kind, completeness)
    assert extras["silenceMs"] == pytest.approx(waited_ms, abs=40)


def test_why_where_no_opinion_came() -> None:
    assert turn_ended(completeness=0.9, judgement_s=5.0)["reason"] == "no_opinion"
    assert turn_ended(completeness=0.9, transcription_s=5.0)["reason"] == "no_opinion"


def over_a_reply(said: str, reply: str = LONG) -> Stage:
    engines = Engines(words=["tell me", said], replies=lambda text: reply if text == "tell me" else "Well.")
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join()
    return stage.speech(1.0, 2.0).speech(4.5, 5.0).run(30.0)


def test_why_a_reply_was_stopped() -> None:
    (event,) = over_a_reply("No, stop.").events("interruption")
    assert event.extras["by"] == "voice"
    assert event.extras["ordinal"] == 1
    assert event.extras["speechMs"] == 96
    assert 2_000 < event.extras["heardMs"] < 2_300


@pytest.mark.parametrize(
    ("said", "reply", "event", "voice", "count"),
    [
        ("Mm-hmm.", LONG, "resumed", "backchannel", 1),
        ("", LONG, "resumed", "noise", 0),
        ("No, stop it.", LONG, "turn_over_reply", "words", 3),
        ("Yeah yeah yeah yeah yeah.", LONG, "turn_over_reply", "long", 5),
        (
            "Yeah.",
            "Shall I tell you about it now? Everything that I know about it.",
            "turn_over_reply",
            "answer",
            1,
        ),
    ],
)
def test_why_it_went_on_or_gave_the_floor(said: str, reply: str, event: str, voice: str, count: int) -> None:
    stage = over_a_reply(said, reply)
    decisions = [*stage.events("resumed"), *stage.events("turn_over_reply")]
    assert [one.type for one in decisions] == [event], "one decision, one event"
    extras = decisions[0].extras
    assert (extras["ordinal"], extras["voice"], extras["wordCount"]) == (1, voice, count)
    assert extras["speechMs"] == pytest.approx(500, abs=40)
    assert said.strip(".").lower() not in str(extras).lower() or not said


def test_the_steps_of_an_answer_begin_with_the_end_of_the_turn() -> None:
    engines = Engines(words=["That is all."], ends=0.9, transcription_s=0.2)
    stage = Stage(settings(first_speaker=USER_FIRST), engines).join().speech(1.0, 2.0).run(10.0)
    (event,) = stage.events("agent_turn")
    assert event.extras["endpointMs"] == pytest.approx(384, abs=33)
    assert event.extras["transcriptMs"] < event.extras["endpointMs"] <= event.extras["firstAudioMs"]


def test_metrics_count_the_same() -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def counts() -> list[float]:
        return [
            count("antiphon_overheard_total", voice="backchannel"),
            count("antiphon_interruptions_total", by="voice"),
            count("antiphon_turn_silence_seconds_count", reason="sound"),
        ]

    before = counts()
    for message in over_a_reply("Mm-hmm.").messages:
        if isinstance(message, CallEvent):
            metrics.observe(message)
    assert [after - was for was, after in zip(before, counts(), strict=True)] == [1, 1, 2]
