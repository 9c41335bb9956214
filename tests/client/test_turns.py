"""Which words and which waits belong to which turn."""

from __future__ import annotations

from typing import Any

from antiphon.client import Chunk, Received, Utterance, turns


def transcript(at: float, role: str, ordinal: int, text: str) -> Received:
    return Received(at, {"type": "transcript", "role": role, "final": True, "ordinal": ordinal, "text": text})


def state(at: float, name: str) -> Received:
    return Received(at, {"type": "state", "state": name})


def test_a_conversation_with_an_interruption() -> None:
    clear: dict[str, Any] = {"type": "playback_clear_buffer"}
    received = [
        transcript(1.0, "agent", 0, "Hello."),
        state(1.0, "listening"),
        transcript(3.5, "user", 1, "Tell me a story."),
        Received(3.9, {"type": "call_event", "callEvent": {"type": "agent_turn", "extras": {"firstTextMs": 625}}}),
        state(4.0, "speaking"),
        Received(6.25, clear),
        transcript(6.26, "agent", 2, "There was"),
        transcript(8.5, "user", 3, "Stop."),
        state(8.75, "speaking"),
        transcript(9.5, "agent", 4, "Right."),
    ]
    chunks = [Chunk(0.5, 320), Chunk(4.0, 320), Chunk(6.2, 320), Chunk(9.0, 320)]
    first, second = turns([Utterance(2.0, 3.0), Utterance(6.0, 8.0)], received, chunks)

    assert (first.user_text, first.agent_text, first.interrupted) == ("Tell me a story.", "There was", True)
    assert (first.transcript_s, first.token_s, first.audio_s) == (0.5, 0.625, 1.0)
    assert (second.user_text, second.agent_text, second.interrupted) == ("Stop.", "Right.", False)
    assert (second.transcript_s, second.token_s, second.audio_s) == (0.5, None, 1.0)


def test_a_turn_that_nobody_answered() -> None:
    (turn,) = turns([Utterance(2.0, 3.0)], [state(0.0, "listening")], [])
    assert (turn.user_text, turn.agent_text, turn.audio_s) == ("", "", None)
