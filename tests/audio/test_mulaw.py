import numpy as np

from antiphon.audio.mulaw import mulaw_decode, mulaw_encode


def test_known_codes_of_the_standard() -> None:
    assert mulaw_decode(b"\xff\x7f\x80\x00\xf0\xef").tolist() == [0, 0, 32124, -32124, 120, 132]
    assert mulaw_encode(np.array([0, 32767, -32768, 120, 132], np.int16)) == b"\xff\x80\x00\xf0\xef"


def test_every_code_survives_but_negative_zero() -> None:
    codes = bytes(range(256))
    assert mulaw_encode(mulaw_decode(codes)) == codes.replace(b"\x7f", b"\xff")


def test_every_sample_is_within_half_a_step() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    decoded = mulaw_decode(mulaw_encode(samples)).astype(int)
    error = np.abs(decoded - samples)
    assert np.all(error <= np.maximum(4, np.abs(samples.astype(int)) / 31 + 4)), error.max()
    assert np.all(np.diff(decoded) >= 0)


def test_any_layout_is_taken() -> None:
    samples = np.arange(0, 20000, 100).astype(np.int16)
    assert mulaw_encode(samples[::2]) == mulaw_encode(samples[::2].copy())
