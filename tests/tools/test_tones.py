from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.tools.tones import COLUMNS_HZ, KEYS, ROWS_HZ, Samples, dial, frequencies

RATES = (8_000, 11_025, 16_000, 24_000, 44_100, 48_000)


def peaks(sound: Samples, sample_rate: int) -> tuple[float, float]:
    """The two strongest frequencies in Hz, from a spectrum with a bin every 0.1 Hz."""
    size = sample_rate * 10
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    split = 10_700  # 1070 Hz, between the rows and the columns
    low, high = int(np.argmax(spectrum[:split])), split + int(np.argmax(spectrum[split:]))
    return low / 10, high / 10


def loud(sound: Samples, sample_rate: int) -> list[tuple[float, float]]:
    """Stretches of tone in seconds: where less than 3 ms pass between samples that are not silent."""
    places = np.flatnonzero(np.abs(sound) > 0)
    ends = np.flatnonzero(np.diff(places) > 0.003 * sample_rate)
    starts = np.concatenate(([places[0]], places[ends + 1]))
    stops = np.concatenate((places[ends], [places[-1]]))
    return [(int(a) / sample_rate, (int(b) + 1) / sample_rate) for a, b in zip(starts, stops, strict=True)]


@pytest.mark.parametrize("sample_rate", RATES)
def test_every_key_has_its_two_frequencies_to_the_hertz(sample_rate: int) -> None:
    for row, keys in enumerate(KEYS):
        for column, key in enumerate(keys):
            low, high = peaks(dial(key, sample_rate), sample_rate)
            assert abs(low - ROWS_HZ[row]) <= 1
            assert abs(high - COLUMNS_HZ[column]) <= 1
            assert frequencies(key.lower()) == (ROWS_HZ[row], COLUMNS_HZ[column])


@settings(max_examples=50, deadline=None)
@given(
    st.text("0123456789*#ABCDabcd", min_size=1, max_size=12),
    st.sampled_from(RATES),
    st.floats(0.04, 0.5),
    st.floats(0.01, 0.3),
)
def test_lengths_and_places_are_right_to_the_millisecond(digits: str, rate: int, tone_s: float, space_s: float) -> None:
    sound = dial(digits, rate, tone_s, space_s)
    assert sound.dtype == np.int16
    assert abs(len(sound) / rate - (len(digits) * tone_s + (len(digits) - 1) * space_s)) < 0.001
    found = loud(sound, rate)
    assert len(found) == len(digits)
    for place, (start, end) in enumerate(found):
        assert abs(start - place * (tone_s + space_s)) < 0.001
        assert abs(end - start - tone_s) < 0.001
    assert int(np.abs(sound.astype(int)).max()) < 32767 * 0.51


def test_both_frequencies_are_equally_loud_and_nothing_else_is_there() -> None:
    sound = dial("5", 16_000, tone_s=1.0).astype(float)
    spectrum = np.abs(np.fft.rfft(sound * np.blackman(len(sound))))
    low, high = spectrum[770], spectrum[1336]
    assert low == pytest.approx(high, rel=0.02)
    for hertz in (770, 1336):
        spectrum[hertz - 5 : hertz + 6] = 0
    assert spectrum.max() < low / 100


def test_signs_between_digits_are_left_out_and_commas_wait() -> None:
    assert np.array_equal(dial("(1) 2-3", 8_000), dial("123", 8_000))
    (_, end), (start, _) = loud(dial("1,2", 8_000), 8_000)
    assert end == pytest.approx(0.2, abs=0.001)
    assert start == pytest.approx(0.3 + 2.0, abs=0.001)


@pytest.mark.parametrize("digits", ["", " ", ",", "12E", "x", "１", "1" * 129, "1" * 120, "1,,,,,,,,,,,,,,,,,,1"])
def test_what_cannot_be_dialled_is_an_error(digits: str) -> None:
    with pytest.raises(ValueError, match=r"digit|key|sound"):
        dial(digits, 8_000)


@pytest.mark.parametrize(("tone_s", "space_s"), [(0.0, 0.1), (5.1, 0.1), (0.1, 5.1)])
def test_lengths_are_bounded(tone_s: float, space_s: float) -> None:
    with pytest.raises(ValueError, match="at most 5 s"):
        dial("1", 8_000, tone_s, space_s)
