"""A program that calls: creates a call by REST, joins it, speaks, listens, and keeps time.

It knows the protocol and nothing of the server's rooms, as any client would. `antiphon call`, `antiphon demo`
and the tests use it.
"""

from antiphon.client.caller import Caller, Chunk, Received, join
from antiphon.client.playback import Playback
from antiphon.client.rest import Api
from antiphon.client.turns import Turn, turns
from antiphon.client.voice import Utterance, Voice
from antiphon.client.wav import Wav, read_wav, write_wav

__all__ = [
    "Api",
    "Caller",
    "Chunk",
    "Playback",
    "Received",
    "Turn",
    "Utterance",
    "Voice",
    "Wav",
    "join",
    "read_wav",
    "turns",
    "write_wav",
]
