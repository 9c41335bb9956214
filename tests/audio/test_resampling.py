from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon.audio.pcm import Samples
from antiphon.audio.resampling import MAX_DELAY_S, LiveResampler, _kernel, resample_file

COMMON = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]
RATES = st.one_of(st.sampled_from([*COMMON, 8001, 47999]), st.integers(8000, 48000))


def tone(hertz: float, rate: int, seconds: float = 0.5, peak: float = 16000) -> Samples:
    return np.rint(peak * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def whole(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    resampler = LiveResampler(from_rate, to_rate)
    return np.concatenate((resampler.push(samples), resampler.flush()))


def inner(samples: Samples) -> NDArray[np.float64]:
    """Without the edges, where the tone begins and ends."""
    edge = len(samples) // 10
    return samples[edge:-edge].astype(float)


def level_db(samples: Samples, peak: float = 16000) -> float:
    return float(20 * np.log10(max(np.sqrt(2 * np.mean(inner(samples) ** 2)), 0.1) / peak))


@settings(max_examples=60, deadline=None)
@given(RATES, RATES, st.lists(st.integers(0, 2500), max_size=8), st.integers(0, 2**32 - 1))
def test_however_the_input_is_chopped_the_output_is_the_same(
    from_rate: int, to_rate: int, lengths: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32768, sum(lengths)).astype(np.int16)
    resampler, parts, at = LiveResampler(from_rate, to_rate), [], 0
    for length in lengths:
        parts.append(resampler.push(samples[at : at + length]))
        at += length
        owed = at * to_rate / from_rate - sum(map(len, parts))
        assert owed <= resampler.delay_s * to_rate + 1
    parts.append(resampler.flush())
    chopped = np.concatenate(parts)
    assert np.array_equal(chopped, whole(samples, from_rate, to_rate))
    assert len(chopped) == ceil(len(samples) * to_rate / from_rate)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (8001, 16000), (24000, 44100)])
def test_sample_by_sample_is_the_same(from_rate: int, to_rate: int) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 1200).astype(np.int16)
    resampler = LiveResampler(from_rate, to_rate)
    parts = [resampler.push(samples[at : at + 1]) for at in range(len(samples))]
    assert np.array_equal(np.concatenate([*parts, resampler.flush()]), whole(samples, from_rate, to_rate))


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (8000, 48000), (44100, 47999)])
def test_sums_are_exact_so_that_their_order_cannot_matter(from_rate: int, to_rate: int) -> None:
    """To the last bit of the double, where rounding to 16 bits would hide most of a difference."""
    kernel = _kernel(from_rate, to_rate)
    signal = np.random.default_rng(2).integers(-32768, 32768, 4000).astype(float)
    together = kernel.render(signal, -1000, 0, 400)
    alone = np.concatenate([kernel.render(signal, -1000, at, 1) for at in range(400)])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("from_rate", [*COMMON, 8001, 47999])
@pytest.mark.parametrize("to_rate", [*COMMON, 8001, 47999])
def test_a_tone_of_the_pass_band_keeps_level_and_place(from_rate: int, to_rate: int) -> None:
    highest = 0.8 * min(from_rate, to_rate) / 2
    for hertz in (100.0, 1000.0, highest if to_rate < from_rate else min(highest, 3300.0)):
        output = whole(tone(hertz, from_rate), from_rate, to_rate)
        assert abs(level_db(output)) < 0.5, hertz
        wanted = tone(hertz, to_rate, len(output) / to_rate)[: len(output)]
        error = inner(output) - inner(wanted)
        assert np.sqrt(np.mean(error**2)) < 16000 * 10 ** (-0.5 / 20) * 0.06, hertz


@pytest.mark.parametrize("from_rate", [22050, 24000, 32000, 44100, 47999, 48000])
def test_above_the_new_nyquist_nothing_passes_at_16000(from_rate: int) -> None:
    for hertz in range(8000, min(from_rate // 2, 20000), 250):
        assert level_db(whole(tone(hertz, from_rate, 0.2), from_rate, 16000)) < -50, hertz


@pytest.mark.parametrize("from_rate", [16000, 24000, 44100, 48000, 47999])
def test_at_8000_the_stop_band_begins_at_4400(from_rate: int) -> None:
    for hertz in range(4450, min(from_rate // 2, 20000), 250):
        assert level_db(whole(tone(hertz, from_rate, 0.2), from_rate, 8000)) < -50, hertz


@pytest.mark.parametrize("to_rate", [16000, 24000, 44100, 48000])
def test_telephone_speech_leaves_no_image_above_it(to_rate: int) -> None:
    output = inner(whole(tone(3300, 8000), 8000, to_rate))
    spectrum = np.abs(np.fft.rfft(output * np.blackman(len(output))))
    hertz = np.fft.rfftfreq(len(output), 1 / to_rate)
    assert 20 * np.log10(spectrum[hertz > 4500].max() / spectrum.max()) < -50


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (8000, 48000), (44100, 47999), (8001, 8000)])
def test_full_scale_is_clipped_and_never_wraps(from_rate: int, to_rate: int) -> None:
    square = np.where(np.arange(2000) // 40 % 2, 32767, -32768).astype(np.int16)
    output = whole(square, from_rate, to_rate).astype(int)
    steps = np.abs(output) > 20000
    wanted = square[np.minimum(np.arange(len(output)) * from_rate // to_rate, 1999)]
    flat = steps & (np.sign(output) != np.sign(wanted))
    assert output.max() == 32767
    assert output.min() == -32768
    assert flat.mean() < 0.05


def test_the_delay_is_what_is_promised() -> None:
    for from_rate in COMMON:
        resampler = LiveResampler(from_rate, 16000 if from_rate != 16000 else 24000)
        assert 0 < resampler.delay_s <= MAX_DELAY_S
        got = len(resampler.push(tone(440, from_rate, 0.02)))
        assert got >= (0.02 - MAX_DELAY_S) * resampler.to_rate - 1


def test_equal_rates_pass_through_untouched() -> None:
    samples, resampler = tone(440, 16000), LiveResampler(16000, 16000)
    assert resampler.push(samples) is samples
    assert len(resampler.flush()) == 0
    assert resampler.delay_s == 0


def test_after_a_flush_a_new_stream_begins() -> None:
    samples, resampler = tone(440, 48000), LiveResampler(48000, 16000)
    first = np.concatenate((resampler.push(samples), resampler.flush()))
    second = np.concatenate((resampler.push(samples), resampler.flush()))
    assert np.array_equal(first, second)


def test_rates_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        LiveResampler(0, 16000)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 16000), (8000, 48000), (16000, 16000), (8001, 47999)])
def test_a_file_keeps_length_and_tone(from_rate: int, to_rate: int) -> None:
    output = resample_file(tone(1000, from_rate), from_rate, to_rate)
    assert output.dtype == np.int16
    assert abs(len(output) - from_rate // 2 * to_rate / from_rate) <= 1
    assert abs(level_db(output)) < 0.1
