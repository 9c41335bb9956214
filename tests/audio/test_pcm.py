import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.pcm import (
    Framer,
    OddByteJoiner,
    bytes_from_samples,
    float_from_int16,
    int16_from_float,
    samples_from_bytes,
)


def test_bytes_are_little_endian_samples() -> None:
    assert samples_from_bytes(b"\x01\x00\xff\xff\x00\x80").tolist() == [1, -1, -32768]
    assert bytes_from_samples(np.array([1, -1, -32768], np.int16)) == b"\x01\x00\xff\xff\x00\x80"


def test_an_odd_number_of_bytes_is_no_samples() -> None:
    with pytest.raises(ValueError, match="multiple of element size"):
        samples_from_bytes(b"\x01\x00\xff")


@given(st.lists(st.binary(max_size=40)))
def test_joiner_loses_and_invents_nothing(frames: list[bytes]) -> None:
    joiner = OddByteJoiner()
    got = b"".join(bytes_from_samples(joiner.push(frame)) for frame in frames)
    whole = b"".join(frames)
    assert got == whole[: len(whole) & ~1]


def test_joiner_joins_across_an_empty_frame() -> None:
    joiner = OddByteJoiner()
    assert joiner.push(b"\x05").tolist() == []
    assert joiner.push(b"").tolist() == []
    assert joiner.push(b"\x01").tolist() == [0x105]


@given(st.lists(st.integers(0, 60)), st.integers(1, 33))
def test_framer_cuts_whole_frames_in_order(lengths: list[int], size: int) -> None:
    framer = Framer(size)
    stream = np.arange(sum(lengths), dtype=np.int16)
    frames, at = [], 0
    for length in lengths:
        frames += framer.push(stream[at : at + length])
        at += length
    assert all(len(frame) == size for frame in frames)
    assert len(frames) == len(stream) // size
    assert framer.pending == len(stream) % size
    assert np.concatenate([*frames, stream[:0]]).tolist() == stream[: len(frames) * size].tolist()


def test_framer_forgets_on_reset() -> None:
    framer = Framer(4)
    framer.push(np.array([1, 2, 3], np.int16))
    framer.reset()
    assert framer.pending == 0
    assert [frame.tolist() for frame in framer.push(np.array([4, 5, 6, 7], np.int16))] == [[4, 5, 6, 7]]


def test_framer_keeps_its_rest_when_the_pushed_buffer_is_used_again() -> None:
    framer, buffer = Framer(4), np.array([1, 2], np.int16)
    framer.push(buffer)
    buffer[:] = 9
    assert framer.push(buffer)[0].tolist() == [1, 2, 9, 9]


def test_float_is_rounded_and_clipped() -> None:
    signal = np.array([0.0, 1.0, -1.0, 1.5, -7.0, 0.5, np.nan, np.inf, 1.6 / 32768], np.float32)
    assert int16_from_float(signal).tolist() == [0, 32767, -32768, 32767, -32768, 16384, 0, 32767, 2]


def test_int16_survives_the_way_through_float() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(int16_from_float(float_from_int16(samples)), samples)
