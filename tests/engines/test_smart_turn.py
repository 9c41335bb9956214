"""End of turn with the real model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.engines.features import log_mel
from antiphon.engines.smart_turn import WINDOW, SmartTurn, turn_features
from antiphon.errors import EngineError
from tests.engines.speech import clip, fetched, silence, spoken

COMPLETE = ("capital", "story", "sum", "day")


@pytest.fixture
def smart_turn() -> Iterator[SmartTurn]:
    engine = SmartTurn(fetched("smart-turn"))
    yield engine
    engine.close()


@pytest.mark.models
async def test_whole_utterances_are_complete_and_cut_ones_are_not(smart_turn: SmartTurn) -> None:
    whole, cut = [], []
    for name in COMPLETE:
        speech = clip(name)
        whole.append(await smart_turn.completeness(np.concatenate([speech, silence(0.2)])))
        cut.append(await smart_turn.completeness(np.concatenate([speech[: speech.size * 55 // 100], silence(0.2)])))
    assert min(whole) > 0.5
    assert np.mean(cut) < np.mean(whole) - 0.3


@pytest.mark.models
async def test_only_the_last_eight_seconds_count(smart_turn: SmartTurn) -> None:
    speech = np.concatenate([clip("story")] * 5)
    assert speech.size > WINDOW
    assert await smart_turn.completeness(speech) == await smart_turn.completeness(speech[-WINDOW:])


@pytest.mark.models
async def test_hardly_any_audio_is_no_trouble(smart_turn: SmartTurn) -> None:
    for audio in (silence(0), silence(0.01), silence(3)):
        assert 0.0 <= await smart_turn.completeness(audio) <= 1.0


@pytest.mark.models
async def test_a_question_given_up_before_its_turn_is_not_computed(smart_turn: SmartTurn) -> None:
    smart_turn.load()
    first = asyncio.create_task(smart_turn.completeness(silence(1)))
    second = asyncio.create_task(smart_turn.completeness(silence(1)))
    await asyncio.sleep(0)
    second.cancel()
    assert 0.0 <= await first <= 1.0
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_the_features_are_whispers_of_the_normalised_window_with_zeros_in_front() -> None:
    speech = await spoken("Hello there.")
    window = np.zeros(WINDOW, np.float64)
    window[-speech.size :] = speech / 32768.0
    normal = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    expected = _reference_log_mel(normal)
    assert turn_features(speech).shape == (1, 80, 800)
    np.testing.assert_allclose(turn_features(speech)[0], expected, atol=1e-4)


def _reference_log_mel(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whisper's features, written out frame by frame from its paper's definition and librosa's Slaney filters."""

    def hertz(mel: float) -> float:
        return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hertz(mel) for mel in np.linspace(0, top, 82)]
    filters = np.zeros((80, 201))
    for band in range(80):
        low, mid, high = edges[band : band + 3]
        for index in range(201):
            frequency = index * 40
            rising, falling = (frequency - low) / (mid - low), (high - frequency) / (high - mid)
            filters[band, index] = max(0.0, min(rising, falling)) * 2 / (high - low)
    padded = np.pad(signal, 200, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.array([np.abs(np.fft.rfft(padded[at * 160 : at * 160 + 400] * hann)) ** 2 for at in range(800)])
    logarithm = np.log10(np.maximum(filters @ power.T, 1e-10))
    features: NDArray[np.float64] = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    return features


def test_features_have_a_column_for_every_ten_milliseconds() -> None:
    assert log_mel(np.zeros(16_000, np.float32)).shape == (80, 100)


def test_a_model_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"cannot be loaded from .*bad\.onnx"):
        SmartTurn(tmp_path / "bad.onnx").load()
