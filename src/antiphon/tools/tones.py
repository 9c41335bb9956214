"""The tones of a telephone's keys.

Each key is two sines at once, of the frequencies in ITU-T Recommendation Q.23. They are made at any sample rate,
with sine amplitudes that add up to half of full scale; each tone fades in and out over 2 ms, which keeps it from
clicking and leaves its length as it is.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
MAX_KEYS = 128
MAX_TONE_S = 5.0
MAX_SOUND_S = 35.0
"""Of one invocation: it has to end within the longest time that a tool may take."""

_AMPLITUDE = 0.25 * 32767
_FADE_S = 0.002
_PAUSES = {",": 2.0, "w": 0.5, "W": 0.5}
"""What dial strings have for waiting, seconds."""

_FREQUENCIES = {
    key: (ROWS_HZ[row], COLUMNS_HZ[column]) for row, keys in enumerate(KEYS) for column, key in enumerate(keys)
}


def frequencies(key: str) -> tuple[int, int]:
    """The low and the high frequency of one key in Hz; raises ``ValueError`` for what is no key."""
    found = _FREQUENCIES.get(key.upper())
    if found is None:
        raise ValueError(f"{key!r} is not a key; there are 0-9, *, # and A-D")
    return found


def dial(digits: str, sample_rate: int, tone_s: float = 0.2, space_s: float = 0.1) -> Samples:
    """The sound of ``digits``: tones of ``tone_s``, silence of ``space_s`` between them; mono at ``sample_rate``.

    Spaces, hyphens and the like between digits are left out; ``,`` waits two seconds more and ``w`` half a second.
    Positions are computed from the start, so that no rounding adds up. Raises ``ValueError`` (with a text fit for a
    model) for anything else, for no keys at all, too many or too long ones, and durations outside of 0 to 5 s.
    """
    keys = [key for key in digits if key not in " -.()\u00a0"]
    if not any(key not in _PAUSES for key in keys):
        raise ValueError("digits has to hold at least one of 0-9, *, # and A-D")
    if len(keys) > MAX_KEYS:
        raise ValueError(f"digits may hold {MAX_KEYS} keys at most")
    if not 0 < tone_s <= MAX_TONE_S or not 0 <= space_s <= MAX_TONE_S:
        raise ValueError(f"tones last more than 0 and at most {MAX_TONE_S:g} s, spaces at most {MAX_TONE_S:g} s")
    tones: list[tuple[int, int, tuple[int, int]]] = []
    at_s = end_s = 0.0
    for key in keys:
        if key in _PAUSES:
            at_s += _PAUSES[key]
            end_s = at_s
            continue
        end_s = at_s + tone_s
        tones.append((round(at_s * sample_rate), round(end_s * sample_rate), frequencies(key)))
        at_s = end_s + space_s
    if end_s > MAX_SOUND_S:
        raise ValueError(f"digits may sound for {MAX_SOUND_S:g} s at most, these take {end_s:.0f}")
    sound = np.zeros(round(end_s * sample_rate), dtype=np.int16)
    for start, end, pair in tones:
        sound[start:end] = _tone(pair, end - start, sample_rate)
    return sound


def _tone(pair: tuple[int, int], length: int, sample_rate: int) -> Samples:
    times = np.arange(length) / sample_rate
    low, high = pair
    wave = (np.sin(2 * np.pi * low * times) + np.sin(2 * np.pi * high * times)) * _AMPLITUDE
    fade = min(round(_FADE_S * sample_rate), length // 2)
    if fade:
        ramp = (np.arange(fade) + 0.5) / fade
        wave[:fade] *= ramp
        wave[-fade:] *= ramp[::-1]
    return np.round(wave).astype(np.int16)
