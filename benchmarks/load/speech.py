"""Speech that says what it is: every 20 ms carries the number of its reply and its place in it.

The stand-ins make it, the virtual callers read it. A reply is a number of words of fixed length, and each word of
the text names the reply and the word (``r170003w4``), so that a server may cut the text into clauses wherever it
likes. A reply's number says whose it is: ``caller * REPLIES_A_CALL + count``.

A frame is 480 samples (24 kHz, s16le): eight bytes of magic, reply and position (u32 each), then a tone that is
always the same. Nothing between stand-in and caller may resample or mix, so that all of it comes back to the bit.
"""

from __future__ import annotations

import re
import struct

import numpy as np

RATE = 24_000
FRAME_S = 0.02
FRAME_BYTES = round(RATE * FRAME_S) * 2
FRAMES_A_WORD = 16
"""320 ms: three words a second."""
SENTENCES = (3, 5, 4)
"""Words of each sentence of a reply."""
WORDS = sum(SENTENCES)
FRAMES_A_REPLY = WORDS * FRAMES_A_WORD
REPLY_S = FRAMES_A_REPLY * FRAME_S
REPLIES_A_CALL = 10_000

MAGIC = struct.pack("<4h", 21_011, -19_013, 17_011, -23_003)
_HEAD = struct.Struct("<8sII")
_TONE = 6_000 * np.sin(2 * np.pi * 400 * np.arange(FRAME_BYTES // 2) / RATE)
_BODY = _TONE.astype("<i2").tobytes()[_HEAD.size :]
_WORD = re.compile(r"r(\d+)w(\d+)", re.IGNORECASE)


def tokens(reply: int) -> list[str]:
    """The reply's text as a language model streams it, a word a token."""
    words = [f"r{reply}w{number}" for number in range(WORDS)]
    start = 0
    for length in SENTENCES:
        words[start] = words[start].capitalize()
        words[start + length - 1] += "."
        start += length
    return [words[0], *(f" {word}" for word in words[1:])]


def spoken(text: str) -> bytes:
    """The sound of the words that ``text`` names, in their order."""
    named = [(int(reply), int(word)) for reply, word in _WORD.findall(text)]
    return b"".join(
        frame(reply, word * FRAMES_A_WORD + number) for reply, word in named for number in range(FRAMES_A_WORD)
    )


def frame(reply: int, position: int) -> bytes:
    """20 ms of sound."""
    return _HEAD.pack(MAGIC, reply, position) + _BODY


class Reader:
    """Reads reply and position out of a stream that may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self.torn_bytes = 0
        """What could not be read: neither whole frames nor silence."""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """The frames that became whole with ``data``: reply and position."""
        if self._rest:
            data = self._rest + data
        found: list[tuple[int, int]] = []
        at = 0
        while len(data) - at >= FRAME_BYTES:
            magic, reply, position = _HEAD.unpack_from(data, at)
            if magic == MAGIC and data[at + _HEAD.size : at + FRAME_BYTES] == _BODY:
                found.append((reply, position))
                at += FRAME_BYTES
            else:
                at = self._skip(data, at)
        self._rest = data[at:]
        return found

    def forget(self) -> None:
        """The stream was cut on purpose: what is there of a frame counts for nothing."""
        self._rest = b""

    def _skip(self, data: bytes, at: int) -> int:
        """Go on at the next magic; what lies before it is lost unless it is silence."""
        following = data.find(MAGIC, at + 1)
        if following < 0:
            following = len(data) - len(MAGIC) + 1  # the end may be the beginning of one
        skipped = data[at:following]
        if skipped.strip(b"\0"):
            self.torn_bytes += len(skipped)
        return following


class Account:
    """What one caller has heard, and what was wrong with it.

    A reply has to come from its first frame to its last, each once and in order, unless the caller cut it: by
    ``cut``, after which nothing of it (nor of older ones) may come.
    """

    def __init__(self, caller: int) -> None:
        self._caller = caller
        self.reply: int | None = None
        self.next_position = 0
        self._dead = -1
        self._excused = False
        self.frames = self.lost = self.doubled = self.stale = self.crossed = 0

    def take(self, reply: int, position: int) -> bool:
        """One frame; whether it is the first of a reply that is rightly heard."""
        self.frames += 1
        if reply // REPLIES_A_CALL != self._caller:
            self.crossed += 1
            return False
        if reply <= self._dead or (self.reply is not None and reply < self.reply):
            self.stale += 1
            return False
        begins = reply != self.reply
        if begins:
            self._settle()
            self.reply, self.next_position, self._excused = reply, 0, False
        if position < self.next_position:
            self.doubled += 1
            return begins
        self.lost += position - self.next_position
        self.next_position = position + 1
        return begins

    def cut(self) -> None:
        """The server has said that the reply is over (``playback_clear_buffer``)."""
        if self.reply is not None:
            self._dead = self.reply
            self._excused = True

    def excuse(self) -> None:
        """The caller spoke over the reply: it need not come to its end."""
        self._excused = True

    def finish(self, still_coming: bool) -> None:
        """The call is over; ``still_coming``: its last reply was being heard."""
        if still_coming:
            self._excused = True
        self._settle()

    def _settle(self) -> None:
        if self.reply is not None and not self._excused:
            self.lost += FRAMES_A_REPLY - self.next_position
        self._excused = True
