"""Engines without a model."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest
from antiphon.engines.protocols import (
    EndOfTurn,
    Generated,
    LanguageModel,
    Primable,
    Samples,
    Speaker,
    TextDelta,
    ToolCall,
    Transcriber,
    Usage,
    VoiceActivity,
)
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedVoiceActivity,
    Trouble,
    mark,
    unmark,
)
from antiphon.errors import EngineError

QUIET = np.zeros(512, np.int16)
LOUD = np.full(512, 3000, np.int16)


def prompt(*texts: str) -> Prompt:
    roles = ("user", "assistant")
    return Prompt("c", "Be brief.", tuple(ChatMessage(roles[n % 2], text) for n, text in enumerate(texts)))


async def generated(model: LanguageModel, *texts: str) -> list[Generated]:
    return [item async for item in model.generate(prompt(*texts))]


async def reply(model: LanguageModel, *texts: str) -> str:
    return "".join(item.text for item in await generated(model, *texts) if isinstance(item, TextDelta))


async def spoken(speaker: Speaker, text: str) -> Samples:
    return np.concatenate([piece async for piece in speaker.speak(text)])


def test_they_are_what_they_stand_for() -> None:
    activity: VoiceActivity = ScriptedVoiceActivity()
    end: EndOfTurn = ScriptedEndOfTurn()
    transcriber: Transcriber = ScriptedTranscriber()
    speaker: Speaker = ScriptedSpeaker()
    assert all((activity, end, transcriber, speaker))
    assert isinstance(ScriptedLanguageModel(), Primable)


def test_voice_activity_by_loudness() -> None:
    scores: list[float] = []
    stream = ScriptedVoiceActivity().open(scores.append)
    for frame in (QUIET, LOUD, QUIET):
        stream.push(frame)
    assert scores == [0.0, 1.0, 0.0]
    stream.close()
    stream.push(LOUD)
    assert len(scores) == 3


def test_voice_activity_by_list() -> None:
    activity = ScriptedVoiceActivity([0.2, 0.9])
    for _ in range(2):
        scores: list[float] = []
        stream = activity.open(scores.append)
        for _ in range(3):
            stream.push(LOUD)
        assert scores == [0.2, 0.9, 0.0]


async def test_opinions_come_in_order_and_the_last_one_stays() -> None:
    end = ScriptedEndOfTurn([0.1, 0.9])
    assert [await end.completeness(QUIET) for _ in range(3)] == [0.1, 0.9, 0.9]


async def test_texts_go_to_utterances_in_order() -> None:
    transcriber = ScriptedTranscriber(["one", "two"])
    first, silent, second = transcriber.open("en"), transcriber.open(None), transcriber.open(None)
    for utterance in (first, second):
        utterance.feed(LOUD, 0.9)
    silent.feed(QUIET, 0.1)
    assert [await utterance.text() for utterance in (first, first, silent, second, first)] == [
        "one",
        "one",
        "",
        "two",
        "one",
    ]
    assert transcriber.languages == ["en", None, None]


async def test_texts_can_be_made_from_what_was_heard() -> None:
    transcription = ScriptedTranscriber(lambda samples: f"{len(samples)} samples").open(None)
    transcription.feed(LOUD, 0.9)
    transcription.feed(QUIET, 0.0)
    assert await transcription.text() == "1024 samples"


async def test_closing_stops_a_transcription() -> None:
    transcription = ScriptedTranscriber(delay_s=1e9).open(None)
    transcription.feed(LOUD, 0.9)
    pending = asyncio.ensure_future(transcription.text())
    await asyncio.wait([pending], timeout=0)
    transcription.close()
    with pytest.raises(asyncio.CancelledError):
        await pending


async def test_a_transcription_can_fail() -> None:
    transcription = ScriptedTranscriber(failure=EngineError("no")).open(None)
    transcription.feed(LOUD, 0.9)
    with pytest.raises(EngineError):
        await transcription.text()


async def test_replies_follow_the_callers_turns() -> None:
    model = ScriptedLanguageModel(["First one.", "Second."])
    assert await generated(model, "a") == [TextDelta("First"), TextDelta(" one."), Usage(3, 0, 2)]
    assert await reply(model, "a") == "First one."
    assert await reply(model, "a", "First one.", "b") == "Second."
    assert await reply(model, "a", "First one.", "b", "Second.", "c") == "First one."
    assert await reply(model) == "First one."
    assert model.stopped == 0


async def test_a_reply_can_be_made_from_the_last_words() -> None:
    model = ScriptedLanguageModel(lambda said: f"You said {said}!")
    assert await reply(model, "a", "x", "b") == "You said b!"


async def test_a_reply_with_tools_goes_on_when_they_have_answered() -> None:
    weather, hang_up = ToolCall("weather", '{"city": "Paris"}', "w"), ToolCall("hangUp", "{}")
    model = ScriptedLanguageModel([["One moment.", weather], "It rains.", hang_up])
    asked = ChatMessage("user", "Weather?")
    used = ChatMessage("assistant", "One moment.", (ToolRequest("i", "weather", {"city": "Paris"}),))
    result = ChatMessage("tool", "Rain", tool_call_id="i")
    told, thanks = ChatMessage("assistant", "It rains."), ChatMessage("user", "Thanks, bye.")

    async def items(*messages: ChatMessage) -> list[Generated]:
        return [item async for item in model.generate(Prompt("c", "", messages))][:-1]

    assert await items(asked) == [TextDelta("One"), TextDelta(" moment."), weather]
    assert await items(asked, used, result) == [TextDelta("It"), TextDelta(" rains.")]
    assert await items(asked, used, result, told, thanks) == [hang_up]
    # Results that the agent only listens to, and several at once, are no turns of their own.
    assert await items(asked, used, result, result, thanks) == [TextDelta("It"), TextDelta(" rains.")]


async def test_a_reply_can_be_made_from_the_whole_prompt() -> None:
    model = ScriptedLanguageModel(script=lambda prompt: [prompt.system, ToolCall("a", "no JSON")])
    assert await generated(model, "x") == [
        TextDelta("Be"),
        TextDelta(" brief."),
        ToolCall("a", "no JSON"),
        Usage(3, 0, 3),
    ]


async def test_a_tool_call_can_be_written_into_the_words() -> None:
    model = ScriptedLanguageModel(['One moment. [[tool weather {"city": "Paris"}]]'])
    assert (await generated(model, "x"))[:-1] == [
        TextDelta("One"),
        TextDelta(" moment."),
        ToolCall("weather", '{"city": "Paris"}'),
    ]


async def test_a_model_that_hears_counts_the_voice_as_a_turn() -> None:
    model = ScriptedLanguageModel(["One.", "Two."], audio_input=True)
    items = [item async for item in model.generate(prompt("a", "One."), LOUD)]
    assert items[0] == TextDelta("Two.")
    assert model.heard[0] is LOUD


async def test_a_model_can_fail_or_stall_at_any_token() -> None:
    failing = ScriptedLanguageModel(["One two three."], trouble=Trouble(at=2, error=EngineError("no")))
    stream = failing.generate(prompt("a"))
    assert [await anext(stream), await anext(stream)] == [TextDelta("One"), TextDelta(" two")]
    with pytest.raises(EngineError):
        await anext(stream)

    stalling = ScriptedLanguageModel(["One two."], trouble=Trouble(at=1))
    async with aclosing(stalling.generate(prompt("a"))) as stream:  # type: ignore[type-var]
        assert await anext(stream) == TextDelta("One")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
    assert stalling.stopped == 1


async def test_priming_is_noted() -> None:
    model = ScriptedLanguageModel()
    await model.prime(prompt("a"))
    assert model.primed == [prompt("a")]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_every_frame_of_speech_says_where_it_belongs(rate: int) -> None:
    speaker = ScriptedSpeaker(sample_rate=rate, character_ms=50, chunk_ms=40)
    text = "Good morning."
    await spoken(speaker, "Before.")
    samples = await spoken(speaker, text)
    assert len(samples) == speaker.frames(text) * speaker.frame_samples == speaker.position(text, len(text))
    for frame, start in enumerate(range(0, len(samples), speaker.frame_samples)):
        values = set(samples[start : start + speaker.frame_samples].tolist())
        assert {unmark(value) for value in values} == {(2, frame)}
    assert speaker.spoken == ["Before.", text]


def test_the_place_of_a_character_is_known() -> None:
    speaker = ScriptedSpeaker(sample_rate=16_000, character_ms=60)
    assert speaker.position("Good morning.", 5) == 5 * 60 * 16
    places = [speaker.position("Good morning.", n) for n in range(14)]
    assert all(before < after for before, after in pairwise(places))


async def test_speech_can_fail_stall_and_be_closed() -> None:
    failing = ScriptedSpeaker(chunk_ms=20, trouble=Trouble(at=1, error=EngineError("no")))
    with pytest.raises(EngineError):
        await spoken(failing, "Hello.")
    stalling = ScriptedSpeaker(chunk_ms=20, trouble=Trouble(at=1))
    async with aclosing(stalling.speak("Hello.")) as stream:  # type: ignore[type-var]
        await anext(stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
    assert stalling.stopped == 1


@given(st.integers(1, 11), st.integers(0, 511), st.integers(-1, 1))
def test_a_mark_survives_rounding(utterance: int, frame: int, error: int) -> None:
    assert unmark(mark(utterance, frame) + error) == (utterance, frame)
    assert 4000 < mark(utterance, frame) < 28_700


@pytest.mark.parametrize("value", [0, 4094, 4098, 28_672, -5000, 32_767])
def test_what_is_no_mark_is_not_taken_for_one(value: int) -> None:
    with pytest.raises(ValueError, match="no mark"):
        unmark(value)
