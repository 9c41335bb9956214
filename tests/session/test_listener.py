"""The caller's side: frames go to the utterance that is being spoken, and to no other."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import REGISTRY

from antiphon.engines.scripted import ScriptedTranscriber, ScriptedVoiceActivity
from antiphon.session.listener import PRE_ROLL_FRAMES, Listener

FRAME = 512


def frames(count: int, level: int) -> bytes:
    return np.full(count * FRAME, level, "<i2").tobytes()


async def test_an_utterance_gets_no_more_once_the_next_has_begun() -> None:
    listener = Listener(16_000, ScriptedVoiceActivity(), ScriptedTranscriber(), None, lambda *_: None)
    listener.open_utterance(1)
    listener.hear(frames(20, 1_000), 100.0)
    first = listener.utterance(1)
    assert first is not None
    assert len(first.frames) == 20
    listener.open_utterance(2)
    listener.hear(frames(20, 2_000), 100.0)
    assert len(first.frames) == 20
    assert set(np.unique(first.audio())) == {1_000}
    second = listener.utterance(2)
    assert second is not None
    assert len(second.frames) == 20 + PRE_ROLL_FRAMES


async def test_an_utterance_that_was_dropped_gets_nothing() -> None:
    listener = Listener(16_000, ScriptedVoiceActivity(), ScriptedTranscriber(), None, lambda *_: None)
    listener.open_utterance(1)
    utterance = listener.utterance(1)
    assert utterance is not None
    listener.close_utterance(1)
    listener.hear(frames(5, 1_000), 100.0)
    assert len(utterance.frames) == 0
    assert listener.utterance(1) is None


@pytest.mark.parametrize("size", [1, 333, 640, 100_001])
async def test_any_chunking_gives_the_same_frames(size: int) -> None:
    heard: list[float] = []
    listener = Listener(
        16_000, ScriptedVoiceActivity(), ScriptedTranscriber(), None, lambda audio_s, _: heard.append(audio_s)
    )
    data = frames(10, 1_000)
    for start in range(0, len(data), size):
        listener.hear(data[start : start + size], 100.0)
    assert heard == [pytest.approx((number + 1) * 0.032) for number in range(len(heard))]
    assert len(heard) >= 9
    await listener.all_scored()


async def test_what_comes_too_far_ahead_is_dropped_and_counted() -> None:
    def counted_s() -> float:
        return REGISTRY.get_sample_value("antiphon_audio_dropped_seconds_total", {"side": "caller"}) or 0.0

    before_s = counted_s()
    listener = Listener(16_000, ScriptedVoiceActivity(), ScriptedTranscriber(), None, lambda *_: None)
    second = np.zeros(16_000, "<i2").tobytes()
    taken = [len(listener.hear(second, 0.5)) for _ in range(12)]
    assert taken == [16_000] * 10 + [8_000, 0]
    assert listener.samples_dropped == 24_000
    assert counted_s() - before_s == pytest.approx(1.5)
    await listener.all_scored()
