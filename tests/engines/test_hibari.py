"""The built-in voice, which comes with the installation."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.engines.hibari import MAX_CLAUSE, HibariSpeaker, clauses, spoken
from antiphon.engines.protocols import Samples
from antiphon.engines.tuning import Tuning
from antiphon.errors import EngineError

speaker = HibariSpeaker()


async def say(text: str, voice: HibariSpeaker = speaker) -> list[Samples]:
    return [piece async for piece in voice.speak(text)]


def edges_ms(samples: Samples) -> tuple[float, float]:
    """Silence before the first and after the last clearly audible sample, in ms."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    return loud[0] / 24, (samples.size - loud[-1]) / 24


async def test_sentences_come_one_by_one() -> None:
    pieces = await say("Hello there. How are you? Fine!")
    assert len(pieces) == 3
    assert all(piece.dtype == np.int16 and 0.3 < piece.size / 24_000 < 3 for piece in pieces)


@pytest.mark.parametrize("text", ["Hello there.", "Sure, I can help.", "What time is it?", "First of all"])
async def test_speech_begins_at_once(text: str) -> None:
    (piece,) = await say(text)
    before, _ = edges_ms(piece)
    assert before <= 110  # 60 ms of silence, then a soft onset may take a while to be called loud


async def test_the_pause_after_a_piece_follows_its_punctuation() -> None:
    pauses = [
        edges_ms((await say(text))[0])[1] for text in ("That is all right.", "That is all right,", "That is all right")
    ]
    assert pauses[0] > pauses[1] > pauses[2]
    assert 250 < pauses[0] < 420
    assert pauses[2] < 200


async def test_the_same_text_sounds_the_same_to_the_sample() -> None:
    first, second = await say("The same again, please."), await say("The same again, please.", HibariSpeaker())
    np.testing.assert_array_equal(first[0], second[0])


async def test_speed_makes_it_shorter() -> None:
    fast, slow = await say("This is a test.", HibariSpeaker(1.5)), await say("This is a test.", HibariSpeaker(0.75))
    assert fast[0].size < 0.7 * slow[0].size


async def test_one_call_speaks_faster_with_the_same_voice() -> None:
    usual = HibariSpeaker()
    usual.load()
    tuned = usual.tuned(Tuning(2.0, language="de"))
    assert (await say("This is a test.", tuned))[0].size < 0.7 * (await say("This is a test.", usual))[0].size
    np.testing.assert_array_equal((await say("One.", usual.tuned(Tuning())))[0], (await say("One.", usual))[0])
    with pytest.raises(ValueError, match=r"0\.5 to 2"):
        usual.tuned(Tuning(0.4))


@pytest.mark.parametrize("text", ["", "  \n ", "...", "—", "😀🎉", "你好，世界", "привет", "*** ---", "?!"])
async def test_nothing_to_say_is_no_sound(text: str) -> None:
    assert await say(text) == []


def test_what_cannot_be_said_is_taken_out() -> None:
    assert spoken("Hello 😀 **world**, see `code`") == "Hello world , see code"
    assert spoken("See https://www.example.com/a/b?c=1, or www.foo.org.") == "See example.com or foo.org"
    assert spoken("Café at 7:30 for $5 😀") == "Café at 7:30 for $5"
    assert spoken("hello 世界 there") == "hello there"


async def test_a_very_long_text_without_an_end_comes_in_bearable_pieces() -> None:
    pieces = await say("word " * 300)
    assert len(pieces) > 3
    assert max(piece.size for piece in pieces) < 25 * 24_000


@settings(max_examples=200)
@given(st.text(max_size=600))
def test_any_text_becomes_clauses_of_bounded_length(text: str) -> None:
    for clause in clauses(text):
        assert 0 < len(clause) <= MAX_CLAUSE
        assert any(char.isalnum() for char in clause)


@pytest.mark.parametrize(
    "text",
    ["x" * 500, "a-b-c_d/e\\f|g", "1" * 60, "[word](/bad phonemes/)", "I'm 'quoted' \"twice\" (and in brackets)"],
)
async def test_odd_text_is_spoken_somehow(text: str) -> None:
    assert sum(piece.size for piece in await say(text)) > 0


async def test_closing_the_stream_stops_before_the_next_piece() -> None:
    stream = cast("AsyncGenerator[Samples, None]", speaker.speak("One. Two. Three."))
    assert (await anext(stream)).size
    await stream.aclose()
    assert [piece async for piece in stream] == []


async def test_the_voice_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = HibariSpeaker()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the voice reached for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    voice.load()
    assert len(await say("Hello.", voice)) == 1
    voice.close()


async def test_a_closed_voice_is_an_engine_error() -> None:
    voice = HibariSpeaker()
    voice.close()
    with pytest.raises(EngineError, match="closed"):
        await say("Hello.", voice)


def test_a_speed_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        HibariSpeaker(3.0)
