"""Transcribers with others to fall back on, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engines.candidates import FellBack
from antiphon.engines.fallback import FallbackTranscriber, for_call
from antiphon.engines.protocols import (
    Samples,
    Transcriber,
)
from antiphon.engines.scripted import (
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedTranscription,
    Trouble,
)
from antiphon.errors import EngineError
from antiphon.testing.virtual_clock import run_virtual
from tests.engines.test_fallback import GONE, PATIENCE_S, SPOKEN, generated, models, of, quietly


class Stalled(ScriptedTranscriber):
    async def transcribe(self, utterance: ScriptedTranscription) -> str:
        await asyncio.Event().wait()
        raise AssertionError


class Unfeedable(ScriptedTranscription):
    def feed(self, frame: Samples, probability: float) -> None:
        raise ValueError("a bug")


class Unopenable(ScriptedTranscriber):
    def open(self, language: str | None) -> ScriptedTranscription:
        raise ValueError("a bug")


class Deafened(ScriptedTranscriber):
    def open(self, language: str | None) -> ScriptedTranscription:
        return Unfeedable(self)


class Lengths(ScriptedTranscriber):
    """Tells how much it was fed."""

    def __init__(self) -> None:
        super().__init__(lambda samples: f"{len(samples)}")


def transcribers(*engines: Transcriber) -> FallbackTranscriber:
    return FallbackTranscriber(of("transcriber", *engines))


async def transcribed(transcriber: Transcriber) -> tuple[list[str], float]:
    """The words after two, and after three, frames."""
    utterance = transcriber.open("en-US")
    utterance.feed(SPOKEN, 0.9)
    utterance.feed(SPOKEN, 0.9)
    texts = [await utterance.text()]
    at = asyncio.get_running_loop().time()
    utterance.feed(SPOKEN, 0.9)
    texts.append(await utterance.text())
    utterance.close()
    return texts, at


def test_a_language_is_that_of_the_transcriber_that_is_asked_first() -> None:
    class English(ScriptedTranscriber):
        def knows(self, language: str) -> bool:
            return language == "en"

        def known_languages(self) -> tuple[str, ...]:
            return ("en",)

    for first, known in ((English(), ["en"]), (Lengths(), ["en", "xx"])):
        transcriber = transcribers(first, English())
        assert [language for language in ("en", "xx") if transcriber.knows(language)] == known
        assert transcriber.known_languages() == (("en",) if len(known) == 1 else ())


def test_a_transcriber_that_works_is_the_only_one_that_listens() -> None:
    second = Lengths()
    assert run_virtual(transcribed(transcribers(Lengths(), second)))[0] == ["1024", "1536"]
    assert second.languages == []


@pytest.mark.parametrize(
    ("first", "waited_s"),
    [(ScriptedTranscriber(failure=GONE), 0.0), (Stalled(), PATIENCE_S), (Unopenable(), 0.0), (Deafened(), 0.0)],
)
def test_the_next_transcriber_hears_the_whole_utterance(first: ScriptedTranscriber, waited_s: float) -> None:
    second = Lengths()
    texts, at = quietly(transcribed(transcribers(first, second)))
    assert texts == ["1024", "1536"]
    assert at == waited_s
    assert second.languages == ["en-US"]


def test_a_question_that_is_cancelled_is_cancelled_behind_the_wrapper() -> None:
    async def run() -> None:
        utterance = transcribers(Stalled(), Lengths()).open(None)
        utterance.feed(SPOKEN, 0.9)
        asking = asyncio.ensure_future(utterance.text())
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(run())


def test_an_engine_that_drops_a_question_is_no_failure() -> None:
    """A pending question may be cancelled by the engine when more is asked, see the Protocol."""

    class Dropping(ScriptedTranscriber):
        async def transcribe(self, utterance: ScriptedTranscription) -> str:
            raise asyncio.CancelledError

    async def run() -> None:
        transcriber = transcribers(Dropping(), Lengths())
        utterance = transcriber.open(None)
        utterance.feed(SPOKEN, 0.9)
        with pytest.raises(asyncio.CancelledError):
            await utterance.text()
        assert transcriber.candidates.row[0].breaker.failures == 0

    run_virtual(run())


def test_a_closed_utterance_is_asked_in_vain() -> None:
    async def run() -> None:
        utterance = transcribers(Lengths(), Lengths()).open(None)
        utterance.feed(SPOKEN, 0.9)
        utterance.close()
        with pytest.raises(EngineError, match="closed"):
            await utterance.text()

    quietly(run())


# All of them


def test_each_call_hears_of_its_own_fallbacks() -> None:
    shared = models(ScriptedLanguageModel(trouble=Trouble(0, GONE)), ScriptedLanguageModel(["Two."]))
    notes: list[FellBack] = []
    other: list[FellBack] = []
    model = for_call(shared, notes.append)
    assert for_call(shared, other.append) is not model
    quietly(generated(model))
    assert notes == [FellBack("model", "model 0", "model 1", "the first is gone")]
    assert other == []
    plain = ScriptedSpeaker()
    assert for_call(plain, notes.append) is plain
