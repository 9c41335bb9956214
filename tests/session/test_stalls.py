"""Whole calls whose engines hang, trickle or fail, with a fallback and without, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from antiphon import metrics
from antiphon.call.ends import EndReason
from antiphon.call.messages import Modality, Role
from antiphon.call.prompt import Prompt
from antiphon.call.speaking.agenda import APOLOGY
from antiphon.engines.candidates import Candidate, Candidates
from antiphon.engines.fallback import FallbackModel, FallbackSpeaker, FallbackTranscriber
from antiphon.engines.protocols import Alive, Generated, LanguageModel, Samples, Speaker, Transcriber
from antiphon.engines.scripted import (
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedTranscription,
    Trouble,
)
from antiphon.errors import EngineError
from antiphon.testing.conversation import REPLY, Conversation, speaking

ONE_TURN = "." * 5 + "#" * 10 + "." * 400
PATIENCE_S = 4.0
GONE = Trouble(0, EngineError("it answered 503"))
HANGS = Trouble(0)


class DeafTranscriber(ScriptedTranscriber):
    async def transcribe(self, utterance: ScriptedTranscription) -> str:
        await asyncio.Event().wait()
        raise AssertionError


class SlowReader(ScriptedLanguageModel):
    """Reads for 30 s, batch by batch."""

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        for _ in range(30):
            await asyncio.sleep(A_BATCH_S)
            yield Alive()
        async for item in super().generate(prompt, audio):
            yield item


A_BATCH_S = 1.0


def row(first: Any, second: Any) -> list[Candidate[Any]]:
    return [Candidate("main", first, PATIENCE_S), Candidate("spare", second, PATIENCE_S)]


def model(first: LanguageModel, second: LanguageModel) -> FallbackModel:
    return FallbackModel(Candidates("model", row(first, second)))


def voice(first: Speaker, second: Speaker) -> FallbackSpeaker:
    return FallbackSpeaker(Candidates("voice", row(first, second), stays_s=20.0))


def transcriber(first: Transcriber, second: Transcriber) -> FallbackTranscriber:
    return FallbackTranscriber(Candidates("transcriber", row(first, second), stays_s=20.0))


def agent(scene: Conversation) -> list[str]:
    return [message.text for message in scene.record.kept if message.role is Role.AGENT]


def first_sound_s(scene: Conversation) -> float:
    """From the end of the caller's speech, at 1.5 s."""
    return next(sent.at for sent in scene.client.received if sent.audio is not None) - 1.5


def count(stage: str) -> float:
    return float(metrics.ENGINE_FALLBACKS.labels(stage, "main")._value.get())


@pytest.mark.parametrize("trouble", [GONE, HANGS])
@pytest.mark.parametrize("stage", ["model", "voice", "transcriber"])
def test_a_fallback_answers_where_the_first_engine_fails_or_hangs(stage: str, trouble: Trouble) -> None:
    good_model, good_voice = ScriptedLanguageModel([REPLY]), ScriptedSpeaker(sample_rate=16_000)
    failing = DeafTranscriber() if trouble is HANGS else ScriptedTranscriber(failure=trouble.error)
    parts: dict[str, dict[str, Any]] = {
        "model": {"model": model(ScriptedLanguageModel(trouble=trouble), good_model)},
        "voice": {"speaker": voice(ScriptedSpeaker(trouble=trouble), good_voice)},
        "transcriber": {"transcriber": transcriber(failing, ScriptedTranscriber(["one"]))},
    }
    before = count(stage)
    with capture_logs() as logs:
        scene = Conversation().with_engines(**parts[stage]).run(speaking(ONE_TURN))
    assert agent(scene) == [REPLY]
    assert 0 <= first_sound_s(scene) - (PATIENCE_S if trouble is HANGS else 0) < 1.0
    events = [event for event in scene.record.noted if event.type == "engine_fallback"]
    assert events
    assert {**events[0].extras} == {"stage": stage, "engine": "main", "fallback": "spare"}
    assert ("503" if trouble is GONE else "no sign of life") in events[0].text
    assert count(stage) - before == len(events)
    assert {line["event"] for line in logs} == {"engine_fallback"}
    assert not any("one" in str(value).split() for line in logs for value in line.values())


def test_a_reply_is_spoken_in_one_voice() -> None:
    first, second = ScriptedSpeaker(trouble=GONE), ScriptedSpeaker()
    with capture_logs():
        Conversation().with_engines(speaker=voice(first, second)).run(speaking(ONE_TURN))
    assert len(first.spoken) == 1
    assert len(second.spoken) == 2


@pytest.mark.parametrize("stage", ["model", "voice", "transcriber"])
def test_where_fallback_and_all_hang_the_call_says_so_or_ends(stage: str) -> None:
    hanging = ScriptedLanguageModel(trouble=HANGS), ScriptedLanguageModel(trouble=HANGS)
    mute = ScriptedSpeaker(trouble=HANGS), ScriptedSpeaker(trouble=HANGS)
    parts: dict[str, dict[str, Any]] = {
        "model": {"model": model(*hanging)},
        "voice": {"speaker": voice(*mute)},
        "transcriber": {"transcriber": transcriber(DeafTranscriber(), DeafTranscriber())},
    }
    with capture_logs():
        scene = Conversation(leaves=False) if stage == "voice" else Conversation()
        scene.with_engines(**parts[stage]).run(speaking(ONE_TURN + "." * 300))
    assert agent(scene) == [APOLOGY]
    assert "engine_stalled" in scene.record.kinds()
    if stage == "voice":
        assert scene.end is not None
        assert scene.end.reason is EndReason.SYSTEM_ERROR
        assert [message.modality for message in scene.record.kept if message.role is Role.AGENT] == [Modality.TEXT]
    else:
        assert first_sound_s(scene) < 16.0


def test_a_model_that_reads_a_long_prompt_is_waited_for() -> None:
    scene = Conversation().with_engines(model=SlowReader([REPLY])).run(speaking(ONE_TURN + "." * 200))
    assert agent(scene) == [REPLY]
    assert 30.0 < first_sound_s(scene) < 31.0


def test_a_voice_slower_than_life_is_given_up() -> None:
    """A fifth of the sound that a listener needs."""
    slow = ScriptedSpeaker(speed_factor=0.2)
    scene = Conversation().with_engines(speaker=slow).run(speaking(ONE_TURN + "." * 300))
    stalled = [event for event in scene.record.noted if event.type == "engine_stalled"]
    assert stalled[0].extras["stage"] == "voice"
    assert REPLY.startswith(agent(scene)[0])


def test_a_model_that_trickles_is_heard_word_by_word_and_then_given_up() -> None:
    slow = ScriptedLanguageModel([REPLY], token_delay_s=3.0)
    scene = Conversation().with_engines(model=slow).run(speaking(ONE_TURN + "." * 300))
    said = agent(scene)
    assert said[0]
    assert REPLY.startswith(said[0])
    assert said[1] == APOLOGY
    assert slow.stopped == 1
