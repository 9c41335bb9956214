"""Frames of a WebSocket as they lie in what was received: where each ends, and the plain ones that audio comes in.

Source: RFC 6455, section 5.2.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it comes without its part in C
    from websockets.utils import apply_mask

TEXT, BINARY = 1, 2
"""Opcodes."""

AUDIO = 0x82
"""First byte of a whole message of binary data: FIN, no extension, opcode 2."""

_FIN, _MASKED, _OPCODE, _LENGTH = 0x80, 0x80, 0x0F, 0x7F
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_CONTROL = 0x08


def audio_of(data: bytes) -> list[bytes]:
    """The payloads, where ``data`` is masked frames of whole binary messages under 64 kB, and nothing else; or none."""
    place, end = 0, len(data)
    if end > 8 and data[0] == AUDIO and data[1] == _MASKED | _TWO_BYTES and data[2] << 8 | data[3] == end - 8:
        return [apply_mask(data[8:], data[4:8])]  # nearly always
    payloads: list[bytes] = []
    while place < end:
        if end - place < 6 or data[place] != AUDIO or not data[place + 1] & _MASKED:
            return []
        length, start = data[place + 1] & _LENGTH, place + 6
        if length == _TWO_BYTES:
            length, start = data[place + 2] << 8 | data[place + 3], place + 8
        elif length == _EIGHT_BYTES:
            return []
        place = start + length
        if place > end:
            return []
        payloads.append(apply_mask(data[start:place], data[start - 4 : start]))
    return payloads


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked frame, a whole message, as a server sends it."""
    length = len(payload)
    if length < _TWO_BYTES:
        return bytes((_FIN | opcode, length)) + payload
    if length < 1 << 16:
        return bytes((_FIN | opcode, _TWO_BYTES, length >> 8, length & 0xFF)) + payload
    return bytes((_FIN | opcode, _EIGHT_BYTES)) + length.to_bytes(8, "big") + payload


class Boundaries:
    """Follows what a client sends, and knows whether it stands between two messages."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._amid_message = False
        self._lost = False
        self.between = True
        """All that came are whole messages."""

    def lose(self) -> None:
        """Follow it no longer: what came cannot be told apart."""
        self._lost, self.between = True, False

    def follow(self, data: bytes | memoryview) -> None:
        """What comes next."""
        place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
                place += step
                continue
            self._head.append(data[place])
            place += 1
            if len(self._head) >= 2 and len(self._head) == self._head_length():
                self._begin()
        self.between = not (self._left or self._head or self._amid_message or self._lost)

    def _head_length(self) -> int:
        length = self._head[1] & _LENGTH
        more = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(length, 0)
        return 2 + more + (4 if self._head[1] & _MASKED else 0)

    def _begin(self) -> None:
        """A head is whole: its payload follows."""
        head = self._head
        length = head[1] & _LENGTH
        if length == _TWO_BYTES:
            length = int.from_bytes(head[2:4], "big")
        elif length == _EIGHT_BYTES:
            length = int.from_bytes(head[2:10], "big")
        if not head[0] & _OPCODE & _CONTROL:
            self._amid_message = not head[0] & _FIN
        self._left = length
        self._head = bytearray()
