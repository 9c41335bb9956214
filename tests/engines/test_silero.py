"""Voice activity with the real model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from antiphon.engines import silero
from antiphon.engines.silero import SileroVoiceActivity
from antiphon.errors import EngineError
from tests.engines.speech import Scores, clip, fetched, frames, scored, silence, spoken

pytestmark = pytest.mark.models


@pytest.fixture
def activity() -> Iterator[SileroVoiceActivity]:
    engine = SileroVoiceActivity(fetched("silero-vad"))
    yield engine
    engine.close()


async def test_speech_scores_high_and_silence_low(activity: SileroVoiceActivity) -> None:
    speech = clip("capital")
    probabilities = [score for _, score in await scored(activity, np.concatenate([silence(1), speech, silence(1)]))]
    assert max(probabilities[:28]) < 0.1
    assert max(probabilities[-25:]) < 0.1
    inside = probabilities[31 : 31 + speech.size // 512]
    assert np.mean(np.array(inside) > 0.5) > 0.8


async def test_noise_is_not_speech(activity: SileroVoiceActivity) -> None:
    noise = (np.random.default_rng(0).standard_normal(32_000) * 300).astype(np.int16)
    assert np.mean([score for _, score in await scored(activity, noise)]) < 0.1


async def test_a_batch_scores_as_one_after_the_other(activity: SileroVoiceActivity) -> None:
    voices = [clip("capital"), clip("story"), await spoken("How can I help you today?")]
    alone = [[score for _, score in await scored(activity, voice)] for voice in voices]
    together = [Scores() for _ in voices]
    streams = [activity.open(scores.take) for scores in together]
    for index in range(max(len(frames(voice)) for voice in voices)):
        for stream, voice in zip(streams, voices, strict=True):
            if index < len(frames(voice)):
                stream.push(frames(voice)[index])
    for scores, voice in zip(together, voices, strict=True):
        await scores.reached(len(frames(voice)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


async def test_a_burst_of_one_call_does_not_hold_up_another(activity: SileroVoiceActivity) -> None:
    activity.load()
    order: list[str] = []
    done = asyncio.Event()

    def other_scored(_: float) -> None:
        order.append("other")
        done.set()

    burst = activity.open(lambda _: order.append("burst"))
    other = activity.open(other_scored)
    for frame in frames(silence(8)):
        burst.push(frame)
    other.push(frames(silence(1))[0])
    await done.wait()
    assert order.count("burst") < 250
    burst.close()


async def test_nothing_is_delivered_after_close(activity: SileroVoiceActivity) -> None:
    late: list[float] = []
    stream = activity.open(late.append)
    for frame in frames(clip("capital")):
        stream.push(frame)
    stream.close()
    stream.push(frames(silence(1))[0])
    await scored(activity, silence(1))  # by now whatever was under way is done
    assert late == []


async def test_frames_beyond_the_bound_get_the_score_before_them(
    activity: SileroVoiceActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silero, "MAX_PENDING", 20)
    scores = Scores()
    stream = activity.open(scores.take)
    for frame in frames(clip("story"))[:60]:  # all before the loop comes round
        stream.push(frame)
    await scores.reached(60)
    assert scores[:40] == [0.0] * 40
    assert max(scores[40:]) > 0.5


async def test_a_listener_that_fails_does_not_harm_the_others(activity: SileroVoiceActivity) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fail(_: float) -> None:
        raise RuntimeError("a listener's own trouble")

    bad = activity.open(fail)
    bad.push(frames(silence(1))[0])
    assert len(await scored(activity, silence(1))) == 31
    assert len(reported) == 1


async def test_a_frame_of_another_size_is_refused(activity: SileroVoiceActivity) -> None:
    stream = activity.open(lambda _: None)
    with pytest.raises(ValueError, match="512"):
        stream.push(np.zeros(160, np.int16))


def test_a_model_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"cannot be loaded from .*bad\.onnx"):
        SileroVoiceActivity(tmp_path / "bad.onnx").load()


async def test_a_closed_engine_takes_no_frames(activity: SileroVoiceActivity) -> None:
    stream = activity.open(lambda _: None)
    activity.close()
    with pytest.raises(EngineError, match="closed"):
        stream.push(frames(silence(1))[0])


async def test_a_network_that_fails_is_told_to_every_call(
    activity: SileroVoiceActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FloatingPointError("no more numbers")

    activity.load()
    monkeypatch.setattr(activity.network, "run", fail)
    streams = [activity.open(lambda _: None) for _ in range(2)]
    streams[0].push(frames(silence(1))[0])
    await asyncio.sleep(0)
    for stream in streams:
        with pytest.raises(EngineError, match="failed: no more numbers"):
            stream.push(frames(silence(1))[0])
