"""When each caller says what: fixed beforehand, whatever the server does.

A question, an answer heard to its end, a question, an answer that is interrupted, an answer to that, and again.
Callers begin at different points of it. All speech begins where a 20 ms packet and a 32 ms frame of voice activity
begin together (every 160 ms), as if every caller's words fell alike on the server's frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from antiphon.client.wav import Samples
from load.clips import PACKET, PACKET_S, Clip, Clips, room
from load.speech import REPLY_S
from load.websocket import encoded

GRID_PACKETS = 8
ANSWER_S = 0.9
"""What an answer takes to begin, generously: for the timetable only."""
REST_S = 0.6
INTERRUPT_S = (0.9, 2.6)
"""After the answer has begun, about."""
LEAD_S = 0.5
NOISE_PACKETS = 50


@dataclass(frozen=True, slots=True)
class Utterance:
    """``start`` is the packet in which it begins. ``interrupts``: meant to fall into an answer."""

    start: int
    clip: Clip
    interrupts: bool

    @property
    def end(self) -> int:
        """The packet after its last."""
        return self.start + self.clip.packets


def timetable(caller: int, seconds: float, clips: Clips) -> list[Utterance]:
    """What ``caller`` says in ``seconds``; the same whenever it is asked."""
    chance = np.random.default_rng(1_000 + caller)
    said: list[Utterance] = []
    next_s = LEAD_S + chance.uniform(0, 2.0)
    number = caller
    while True:
        interrupts = number % 3 == 2 and bool(said)
        pool = clips.interruptions if interrupts else clips.questions
        clip = pool[int(chance.integers(len(pool)))]
        start = math.ceil(next_s / PACKET_S / GRID_PACKETS) * GRID_PACKETS
        utterance = Utterance(start, clip, interrupts)
        if (utterance.end * PACKET_S) + ANSWER_S > seconds:
            return said
        said.append(utterance)
        number += 1
        wait_s = chance.uniform(*INTERRUPT_S) if number % 3 == 2 else REPLY_S + REST_S
        next_s = utterance.end * PACKET_S + ANSWER_S + wait_s


def sound(utterances: Sequence[Utterance], packets: int) -> Samples:
    """All that a caller sends in ``packets`` packets."""
    noise = room(NOISE_PACKETS * PACKET)
    whole = np.tile(noise, -(-packets // NOISE_PACKETS))[: packets * PACKET]
    for utterance in utterances:
        first = utterance.start * PACKET
        speech = utterance.clip.samples[: whole.size - first]
        whole[first : first + speech.size] = speech
    return whole


class Wire:
    """A caller's packets as they go over the wire, encoded once and shared by all callers.

    ``wrap`` makes a server's message of the PCM of a packet.
    """

    def __init__(self, wrap: str) -> None:
        self._wrap = pipecat_audio if wrap == "pipecat" else bytes
        noise = room(NOISE_PACKETS * PACKET)
        self._noise = [self._packet(noise[n * PACKET : (n + 1) * PACKET]) for n in range(NOISE_PACKETS)]
        self._clips: dict[tuple[int, int], list[bytes]] = {}

    def packets(self, utterances: Sequence[Utterance], count: int) -> list[bytes]:
        """``count`` packets, in which ``utterances`` are said."""
        line = [self._noise[number % NOISE_PACKETS] for number in range(count)]
        for utterance in utterances:
            said = self._clip(utterance)
            line[utterance.start : utterance.end] = said[: max(0, count - utterance.start)]
        return line

    def _clip(self, utterance: Utterance) -> list[bytes]:
        # The rest of its last packet is the room, which differs by where in the noise it falls.
        key = (id(utterance.clip), utterance.end % NOISE_PACKETS)
        if key not in self._clips:
            moved = Utterance(utterance.start % NOISE_PACKETS, utterance.clip, False)
            samples = sound([moved], moved.end)[moved.start * PACKET :]
            self._clips[key] = [self._packet(samples[at : at + PACKET]) for at in range(0, samples.size, PACKET)]
        return self._clips[key]

    def _packet(self, samples: Samples) -> bytes:
        return encoded(self._wrap(samples.astype("<i2").tobytes()))


def pipecat_audio(pcm: bytes, rate: int = 16_000) -> bytes:
    """Pipecat's protobuf ``Frame`` with an ``AudioRawFrame``: audio, sample_rate, num_channels."""
    audio = b"\x1a" + _varint(len(pcm)) + pcm + b"\x20" + _varint(rate) + b"\x28\x01"
    return b"\x12" + _varint(len(audio)) + audio


def pipecat_message(message: bytes) -> tuple[int, bytes]:
    """The kind of a ``Frame`` (2 audio, 5 interruption) and, of audio, its PCM."""
    kind, start, end = _field(message, 0)
    if kind != 2:
        return kind, b""
    while start < end:
        number, first, last = _field(message, start)
        if number == 3:
            return kind, message[first:last]
        start = last
    return kind, b""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _field(data: bytes, at: int) -> tuple[int, int, int]:
    """The number of the field at ``at``, and where its content begins and ends."""
    tag, at = _read_varint(data, at)
    if tag & 7 == 2:
        size, at = _read_varint(data, at)
        return tag >> 3, at, at + size
    _, end = _read_varint(data, at)
    return tag >> 3, at, end
