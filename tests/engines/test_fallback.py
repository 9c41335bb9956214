"""Engines that stand in for one another, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import numpy as np
import pytest
from structlog.testing import capture_logs

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.candidates import Candidate, Candidates
from antiphon.engines.fallback import FallbackModel, FallbackSpeaker
from antiphon.engines.protocols import (
    Alive,
    Generated,
    LanguageModel,
    Primable,
    Samples,
    Speaker,
    TextDelta,
    ToolCall,
)
from antiphon.engines.scripted import (
    ScriptedLanguageModel,
    ScriptedSpeaker,
    Trouble,
    unmark,
)
from antiphon.engines.tuning import Tunable, Tuning
from antiphon.errors import EngineError
from antiphon.testing.virtual_clock import run_virtual

PATIENCE_S = 4.0
A_BATCH_S = 3.0
PROMPT = Prompt("call", "Be brief.", (ChatMessage("user", "Hello?"),), temperature=0.0)
GONE = EngineError("the first is gone")
SPOKEN = np.full(512, 8_000, np.int16)
E = TypeVar("E")
T = TypeVar("T")


def of(kind: str, *engines: E) -> Candidates[E]:
    return Candidates(kind, [Candidate(f"{kind} {n}", one, PATIENCE_S) for n, one in enumerate(engines)])


def models(*engines: LanguageModel) -> FallbackModel:
    return FallbackModel(of("model", *engines))


def quietly(work: Coroutine[Any, Any, T]) -> T:
    with capture_logs():
        return run_virtual(work)


async def generated(model: LanguageModel, audio: Samples | None = None) -> tuple[list[Generated], float]:
    """All items, and when the first words came."""
    loop, items, words_at = asyncio.get_running_loop(), [], -1.0
    async for item in model.generate(PROMPT, audio):
        items.append(item)
        if isinstance(item, TextDelta) and words_at < 0:
            words_at = loop.time()
    return items, words_at


def words(items: list[Generated]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


# Models


def test_a_model_that_works_is_the_only_one_asked() -> None:
    first, second = ScriptedLanguageModel(["One."]), ScriptedLanguageModel(["Two."])
    items, at = run_virtual(generated(models(first, second)))
    alone, alone_at = run_virtual(generated(ScriptedLanguageModel(["One."])))
    assert (items, at) == (alone, alone_at)
    assert second.prompts == []


@pytest.mark.parametrize("trouble", [Trouble(0, GONE), Trouble(0)])
def test_the_next_model_answers_where_one_fails_or_stalls_before_its_first_word(trouble: Trouble) -> None:
    first, second = ScriptedLanguageModel(["One."], trouble=trouble), ScriptedLanguageModel(["Two."])
    items, at = quietly(generated(models(first, second)))
    assert words(items) == "Two."
    assert at == (0.0 if trouble.error else PATIENCE_S)
    assert items[0] == Alive()
    assert first.stopped == 1
    assert second.prompts == [PROMPT]


def test_a_model_that_breaks_off_amid_its_words_has_failed() -> None:
    first = ScriptedLanguageModel(["One two three."], trouble=Trouble(2, GONE))
    second = ScriptedLanguageModel(["Four."])

    async def run() -> list[Generated]:
        stream = models(first, second).generate(PROMPT)
        items = [await anext(stream), await anext(stream)]
        with pytest.raises(EngineError, match="the first is gone"):
            await anext(stream)
        return items

    assert words(run_virtual(run())) == "One two"
    assert second.prompts == []


class Reader(ScriptedLanguageModel):
    """Reads for nine seconds, with a sign of life every three."""

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        for _ in range(3):
            await asyncio.sleep(A_BATCH_S)
            yield Alive()
        async for item in super().generate(prompt, audio):
            yield item


def test_a_model_that_reads_a_long_prompt_is_waited_for() -> None:
    items, at = run_virtual(generated(models(Reader(["One."]), ScriptedLanguageModel(["Two."]))))
    assert (words(items), at) == ("One.", 9.0)


def test_a_long_pause_after_the_first_word_is_not_the_wrappers_to_judge() -> None:
    slow = ScriptedLanguageModel(["One two."], token_delay_s=10.0)
    items, _ = run_virtual(generated(models(slow, ScriptedLanguageModel(["Two."]))))
    assert words(items) == "One two."


def test_a_tool_call_is_of_use() -> None:
    first = ScriptedLanguageModel([ToolCall("lookUp", "{}")], trouble=Trouble(1, GONE))

    async def run() -> Generated:
        stream = models(first, ScriptedLanguageModel(["Two."])).generate(PROMPT)
        item = await anext(stream)
        with pytest.raises(EngineError):
            await anext(stream)
        return item

    assert run_virtual(run()) == ToolCall("lookUp", "{}")


def test_the_last_model_is_left_to_the_calls_own_patience() -> None:
    late = ScriptedLanguageModel(["Two."], first_token_delay_s=3 * PATIENCE_S)
    items, at = quietly(generated(models(ScriptedLanguageModel(trouble=Trouble(0, GONE)), late)))
    assert (words(items), at) == ("Two.", 3 * PATIENCE_S)


def test_where_all_fail_the_last_ones_error_is_told() -> None:
    last = ScriptedLanguageModel(trouble=Trouble(0, EngineError("the second too")))
    with pytest.raises(EngineError, match="the second too"):
        quietly(generated(models(ScriptedLanguageModel(trouble=Trouble(0, GONE)), last)))


def test_only_a_model_that_hears_is_given_sound() -> None:
    deaf, hearing = ScriptedLanguageModel(["One."]), ScriptedLanguageModel(["Two."], audio_input=True)
    model = models(hearing, deaf)
    assert model.audio_input
    run_virtual(generated(model, SPOKEN))
    assert hearing.heard[0] is SPOKEN
    assert not models(deaf, hearing).audio_input
    run_virtual(generated(models(deaf, hearing), None))
    assert deaf.heard == [None]


@pytest.mark.parametrize("items_taken", [0, 1])
def test_closing_a_reply_closes_the_model_behind_it(items_taken: int) -> None:
    first = ScriptedLanguageModel(["One two."], token_delay_s=1.0, first_token_delay_s=1.0)

    async def run() -> None:
        async with aclosing(models(first, ScriptedLanguageModel()).generate(PROMPT)) as stream:  # type: ignore[type-var]
            pending = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            if items_taken:
                await pending
            else:
                pending.cancel()
                await asyncio.wait([pending])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(run())
    assert first.stopped == 1


def test_the_model_that_would_answer_reads_ahead() -> None:
    first, second = ScriptedLanguageModel(trouble=Trouble(0, GONE)), ScriptedLanguageModel(["Two."])
    model = models(first, second)
    assert isinstance(model, Primable)

    async def run() -> None:
        await model.prime(PROMPT)
        for _ in range(3):
            await generated(model)
        await model.prime(PROMPT)

    quietly(run())
    assert (first.primed, second.primed) == ([PROMPT], [PROMPT])


# Voices


def speakers(*engines: Speaker) -> FallbackSpeaker:
    return FallbackSpeaker(of("voice", *engines))


async def spoken(speaker: Speaker, text: str = "Good morning.") -> tuple[Samples, float]:
    """All sound, and when the first of it came."""
    pieces, at = [np.zeros(0, np.int16)], -1.0
    async for samples in speaker.speak(text):
        if len(samples) and at < 0:
            at = asyncio.get_running_loop().time()
        pieces.append(samples)
    return np.concatenate(pieces), at


@pytest.mark.parametrize("trouble", [Trouble(0, GONE), Trouble(0)])
def test_the_next_voice_speaks_the_clause_from_its_beginning(trouble: Trouble) -> None:
    second = ScriptedSpeaker()
    sound, at = quietly(spoken(speakers(ScriptedSpeaker(trouble=trouble), second)))
    alone, _ = run_virtual(spoken(ScriptedSpeaker()))
    assert np.array_equal(sound, alone)
    assert at == (0.0 if trouble.error else PATIENCE_S)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_the_next_voice_is_brought_to_the_first_ones_rate(rate: int) -> None:
    speaker = speakers(ScriptedSpeaker(trouble=Trouble(0, GONE)), ScriptedSpeaker(sample_rate=rate))
    assert speaker.sample_rate == 24_000
    sound, _ = quietly(spoken(speaker))
    frames = ScriptedSpeaker().frames("Good morning.")
    assert len(sound) == pytest.approx(frames * 480, abs=2)
    assert [unmark(int(sound[480 * frame + 240]))[1] for frame in range(frames)] == list(range(frames))


def test_a_voice_that_breaks_amid_a_clause_has_failed() -> None:
    second = ScriptedSpeaker()
    with pytest.raises(EngineError, match="the first is gone"):
        run_virtual(spoken(speakers(ScriptedSpeaker(trouble=Trouble(1, GONE)), second)))
    assert second.spoken == []


class Mute(ScriptedSpeaker):
    async def speak(self, text: str) -> AsyncIterator[Samples]:
        self.spoken.append(text)
        for _ in range(0):
            yield SPOKEN


def test_a_voice_that_makes_nothing_of_words_has_failed() -> None:
    second = ScriptedSpeaker()
    quietly(spoken(speakers(Mute(), second)))
    assert second.spoken == ["Good morning."]
    quietly(spoken(speakers(Mute(), second), "…"))
    assert second.spoken == ["Good morning."]


def test_a_call_does_not_go_to_and_fro_between_voices() -> None:
    first, second = ScriptedSpeaker(trouble=Trouble(0, GONE)), ScriptedSpeaker()
    speaker = FallbackSpeaker(Candidates("voice", speakers(first, second).candidates.row, stays_s=20.0))

    async def run() -> None:
        for text in ("One.", "Two.", "Three."):
            await spoken(speaker, text)

    quietly(run())
    assert first.spoken == ["One."]
    assert second.spoken == ["One.", "Two.", "Three."]


def test_how_a_call_wants_a_voice_spoken_holds_for_the_next_voice_as_far_as_it_can() -> None:
    class Slow(ScriptedSpeaker):
        speeds = (0.5, 1.5)

    first, second = ScriptedSpeaker(trouble=Trouble(0, GONE)), Slow()
    speaker = speakers(first, second)
    assert isinstance(speaker, Tunable)
    assert (speaker.speeds, speaker.takes_fields) == (first.speeds, True)
    tuned = speaker.tuned(Tuning(2.0, "de", {"mood": "calm"}))
    sound, _ = quietly(spoken(tuned))
    assert len(sound) == len(run_virtual(spoken(ScriptedSpeaker(character_ms=40)))[0])
    assert first.tunings == [Tuning(2.0, "de", {"mood": "calm"})]
    assert second.tunings == [Tuning(1.5, "de")]
    assert speaker.candidates.row[0].breaker.failures == 1  # what one call learns all know
    with pytest.raises(ValueError, match="speed is"):
        speaker.tuned(Tuning(11.0))


# Transcribers
