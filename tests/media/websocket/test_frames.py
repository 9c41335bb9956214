"""Frames as clients send them, found in what was received."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from antiphon.media.websocket.frames import Boundaries, audio_of, frame

opcodes = st.sampled_from([Opcode.BINARY, Opcode.TEXT, Opcode.PING, Opcode.PONG, Opcode.CLOSE])
payloads = st.one_of(st.binary(max_size=140), st.integers(0, 70_000).map(bytes))


def sent(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, payload, fin).serialize(mask=True)


@given(st.lists(st.one_of(st.binary(max_size=140), st.integers(0, 60_000).map(bytes)), min_size=1, max_size=4))
def test_whole_frames_of_audio_are_taken_as_they_are(payloads: list[bytes]) -> None:
    assert audio_of(b"".join(sent(Opcode.BINARY, payload) for payload in payloads)) == payloads


@given(payloads, st.integers(1, 5))
def test_anything_more_or_less_is_not(payload: bytes, cut: int) -> None:
    whole = sent(Opcode.BINARY, payload)
    assert audio_of(whole[:-cut]) == []
    assert audio_of(whole + whole[:cut]) == []


def test_frames_of_64_kilobytes_go_another_way() -> None:
    assert audio_of(sent(Opcode.BINARY, bytes(1 << 16))) == []


@given(opcodes, payloads)
def test_other_frames_are_not_audio(opcode: Opcode, payload: bytes) -> None:
    if opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
        payload = payload[:125]
    if opcode is not Opcode.BINARY:
        assert audio_of(sent(opcode, payload)) == []
    assert audio_of(sent(Opcode.BINARY, payload, fin=False)) == []
    assert audio_of(Frame(opcode, payload).serialize(mask=False)) == []


@given(st.sampled_from([Opcode.BINARY, Opcode.TEXT]), payloads)
def test_what_is_sent_is_what_the_library_would_send(opcode: Opcode, payload: bytes) -> None:
    assert frame(opcode, payload) == Frame(opcode, payload).serialize(mask=False)


@given(st.lists(st.tuples(opcodes, st.integers(0, 300)), min_size=1, max_size=6), st.data())
def test_the_boundaries_are_where_messages_end(messages: list[tuple[Opcode, int]], data: st.DataObject) -> None:
    boundaries, stream, ends = Boundaries(), b"", {0}
    for opcode, length in messages:
        stream += sent(opcode, bytes(length if opcode in (Opcode.BINARY, Opcode.TEXT) else min(length, 125)))
        ends.add(len(stream))
    place = 0
    while place < len(stream):
        step = data.draw(st.integers(1, 200))
        boundaries.follow(stream[place : place + step])
        place = min(place + step, len(stream))
        assert boundaries.between == (place in ends)


def test_a_message_in_pieces_is_no_boundary_until_its_last() -> None:
    boundaries = Boundaries()
    boundaries.follow(sent(Opcode.BINARY, b"one", fin=False))
    assert not boundaries.between
    boundaries.follow(sent(Opcode.PING, b""))  # may come in between
    assert not boundaries.between
    boundaries.follow(sent(Opcode.CONT, b"two", fin=False))
    assert not boundaries.between
    boundaries.follow(sent(Opcode.CONT, b"three"))
    assert boundaries.between
