"""G.711 µ-law, 8 bits a sample, as telephones speak it.

Source: ITU-T G.711 and the reference implementation in G.191 (``ulaw_compress`` / ``ulaw_expand``).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from antiphon.audio.pcm import Samples

_BIAS: Final = 33
"""Added to the 14-bit magnitude so that every segment begins at a power of two."""

_LARGEST: Final = 0x1FFF


def _decode_table() -> NDArray[np.int16]:
    """The sample of each of the 256 codes."""
    codes = ~np.arange(256, dtype=np.uint8)
    segment = (codes >> 4 & 7).astype(np.int32)
    step = (codes & 15).astype(np.int32)
    magnitude = ((2 * step + _BIAS) << segment) - _BIAS
    return np.where(codes & 0x80, -4 * magnitude, 4 * magnitude).astype(np.int16)


def _encode_table() -> NDArray[np.uint8]:
    """The code of each of the 65,536 samples, at the sample's bits taken as an unsigned number."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum((np.where(samples < 0, ~samples, samples) >> 2) + _BIAS, _LARGEST)
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    step = magnitude >> (segment + 1) & 15
    code = segment << 4 | step | np.where(samples < 0, 0x80, 0)
    table: NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return table


_DECODED: Final = _decode_table()
_ENCODED: Final = _encode_table()


def mulaw_decode(data: bytes) -> Samples:
    """µ-law bytes as samples, one each."""
    return _DECODED[np.frombuffer(data, np.uint8)]


def mulaw_encode(samples: Samples) -> bytes:
    """Samples as µ-law bytes, one each."""
    codes: NDArray[np.uint8] = _ENCODED[np.ascontiguousarray(samples, np.int16).view(np.uint16)]
    return codes.tobytes()
