"""Speech to text: what is asked of the model and when (a model that only notes it), and the words (the real one)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from antiphon.engines.protocols import ACTIVITY_FRAME, Samples
from antiphon.engines.silero import SileroVoiceActivity
from antiphon.engines.whisper import LONGEST_PIECE, PIECE, WhisperTranscriber, WhisperTranscription, joined
from antiphon.engines.whisper_model import WhisperModel, once, repeats
from antiphon.engines.words import word_error_rate
from antiphon.engines.written import ends_of
from antiphon.errors import EngineError
from tests.engines.speech import clip, fetched, scored, silence, spoken

SILENCE, SPEECH = 0.02, 0.95


class Noting(WhisperTranscriber):
    """Notes each run as (first sample's mark, frames), and answers with the mark. Can be held up."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.runs: list[tuple[int, int]] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)
        self.fails = 0

    def transcribe(self, audio: Samples, language: str | None) -> str:
        self.begun.release()
        assert self.go.wait(10)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not today")
        self.runs.append((int(audio[0]), audio.size // ACTIVITY_FRAME))
        return f"from {audio[0]}"


class Utterance:
    """Feeds frames that are marked with their number."""

    def __init__(self, transcription: WhisperTranscription) -> None:
        self.transcription = transcription
        self._fed = 0

    def feed(self, count: int, probability: float) -> None:
        for _ in range(count):
            self.transcription.feed(np.full(ACTIVITY_FRAME, self._fed, np.int16), probability)
            self._fed += 1


@pytest.fixture
def noting() -> Iterator[Noting]:
    transcriber = Noting()
    yield transcriber
    transcriber.go.set()
    transcriber.close()


@pytest.fixture
def utterance(noting: Noting) -> Utterance:
    return Utterance(noting.open(None))


async def test_nothing_said_is_no_words_and_no_work(noting: Noting, utterance: Utterance) -> None:
    assert await utterance.transcription.text() == ""
    utterance.feed(100, SILENCE)
    assert await utterance.transcription.text() == ""
    assert noting.runs == []


async def test_asking_again_after_mere_silence_is_free(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(40, SPEECH)
    utterance.feed(4, SILENCE)
    assert await utterance.transcription.text() == "from 0"
    utterance.feed(20, SILENCE)
    assert await utterance.transcription.text() == "from 0"
    assert noting.runs == [(0, 44)]


async def test_more_speech_is_transcribed_with_what_came_before(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(40, SPEECH)
    await utterance.transcription.text()
    utterance.feed(1, SPEECH)
    await utterance.transcription.text()
    assert noting.runs == [(0, 40), (0, 41)]


async def test_silence_around_the_words_is_left_out(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(50, SILENCE)
    utterance.feed(20, SPEECH)
    utterance.feed(50, SILENCE)
    await utterance.transcription.text()
    assert noting.runs == [(41, 9 + 20 + 9)]


async def test_a_long_utterance_is_cut_at_a_pause_and_transcribed_behind(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(170, SPEECH)
    utterance.feed(8, SILENCE)
    utterance.feed(PIECE - 178 + 20, SPEECH)
    assert await asyncio.to_thread(noting.begun.acquire, timeout=10)
    text = await utterance.transcription.text()
    (first, length), (second, rest) = noting.runs
    assert first == 0
    assert 170 <= length <= 178
    assert 170 <= second <= 178
    assert second + rest == PIECE + 20
    assert text == f"from 0 from {second}"


async def test_without_a_pause_it_is_cut_at_the_lowest_spot_in_the_end(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(200, SPEECH)
    utterance.feed(5, 0.6)
    utterance.feed(LONGEST_PIECE - 206, SPEECH)
    assert noting.runs == []
    utterance.feed(10, SPEECH)
    await utterance.transcription.text()
    assert len(noting.runs) == 2
    assert 199 <= noting.runs[0][1] <= 206


async def test_a_piece_whose_words_are_known_is_not_transcribed_again(noting: Noting, utterance: Utterance) -> None:
    utterance.feed(150, SPEECH)
    utterance.feed(10, SILENCE)
    await utterance.transcription.text()
    utterance.feed(PIECE, SPEECH)
    await utterance.transcription.text()
    assert [run[0] for run in noting.runs].count(0) == 1


async def test_however_long_it_is_only_the_end_is_left_to_do(noting: Noting, utterance: Utterance) -> None:
    for _ in range(12):
        utterance.feed(140, SPEECH)
        utterance.feed(8, SILENCE)
    await utterance.transcription.text()
    assert max(length for _, length in noting.runs) <= LONGEST_PIECE
    assert sum(length for _, length in noting.runs) == pytest.approx(12 * 148, abs=60)


async def test_what_somebody_waits_for_goes_before_pieces_of_others(noting: Noting) -> None:
    noting.go.clear()
    busy, long, asked = (Utterance(noting.open(None)) for _ in range(3))
    busy.feed(40, SPEECH)
    running = asyncio.create_task(busy.transcription.text())
    assert await asyncio.to_thread(noting.begun.acquire, timeout=10)
    long.feed(150, SPEECH)
    long.feed(10, SILENCE)
    long.feed(PIECE, SPEECH)
    asked.feed(33, SPEECH)
    waiting = asyncio.create_task(asked.transcription.text())
    await asyncio.sleep(0)
    noting.go.set()
    await asyncio.gather(running, waiting)
    assert noting.runs[:2] == [(0, 40), (0, 33)]


async def test_work_of_a_closed_utterance_is_skipped(noting: Noting) -> None:
    noting.go.clear()
    busy, closed = Utterance(noting.open(None)), Utterance(noting.open(None))
    busy.feed(40, SPEECH)
    running = asyncio.create_task(busy.transcription.text())
    assert await asyncio.to_thread(noting.begun.acquire, timeout=10)
    closed.feed(20, SPEECH)
    waiting = asyncio.create_task(closed.transcription.text())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    closed.transcription.close()
    noting.go.set()
    await running
    busy.feed(5, SPEECH)
    await busy.transcription.text()
    assert noting.runs == [(0, 40), (0, 45)]


async def test_a_pending_answer_survives_being_overtaken(noting: Noting, utterance: Utterance) -> None:
    noting.go.clear()
    utterance.feed(20, SPEECH)
    first = asyncio.create_task(utterance.transcription.text())
    assert await asyncio.to_thread(noting.begun.acquire, timeout=10)
    utterance.feed(20, SPEECH)
    second = asyncio.create_task(utterance.transcription.text())
    await asyncio.sleep(0)
    utterance.feed(20, SPEECH)
    third = asyncio.create_task(utterance.transcription.text())
    await asyncio.sleep(0)
    noting.go.set()
    assert tuple(await asyncio.gather(first, second, third)) == ("from 0",) * 3


async def test_after_a_failure_asking_again_tries_again(noting: Noting, utterance: Utterance) -> None:
    noting.fails = 1
    utterance.feed(40, SPEECH)
    with pytest.raises(EngineError, match="not today"):
        await utterance.transcription.text()
    assert await utterance.transcription.text() == "from 0"


def test_pieces_are_joined_as_one_text() -> None:
    assert (
        joined(["We left in the morning.", "before the sun was up."]) == "We left in the morning before the sun was up."
    )
    assert joined(["", "One.", "", "Two."]) == "One. Two."
    assert joined([]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press 4 to place a call. Press 4 to place a call. Press 4", "Press 4 to place a call."),
        ("I want to go home. I want to go home.", "I want to go home."),
        ("no no no no", "no no no no"),
        ("Five, five.", "Five, five."),
        ("I want to go home and I want to sleep.", "I want to go home and I want to sleep."),
    ],
)
def test_a_phrase_said_over_and_over(text: str, expected: str) -> None:
    assert once(text) == expected
    assert repeats(text) == (text != expected)
    assert repeats("o" * 200)


@pytest.fixture(scope="module")
def whisper() -> Iterator[WhisperTranscriber]:
    transcriber = WhisperTranscriber(fetched("whisper-base").parent)
    transcriber.load()
    yield transcriber
    transcriber.close()


@asynccontextmanager
async def heard(whisper: WhisperTranscriber, audio: Samples) -> AsyncIterator[WhisperTranscription]:
    activity = SileroVoiceActivity(fetched("silero-vad"))
    transcription = whisper.open("en-US")
    for frame, probability in await scored(activity, np.concatenate([silence(0.3), audio, silence(0.4)])):
        transcription.feed(frame, probability)
    activity.close()
    yield transcription
    transcription.close()


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "words"),
    [("capital", "What is the capital of France?"), ("day", "Thanks. What day comes after Monday?")],
)
async def test_a_mans_words(whisper: WhisperTranscriber, name: str, words: str) -> None:
    async with heard(whisper, clip(name)) as transcription:
        assert word_error_rate(words, await transcription.text()) == 0.0


@pytest.mark.models
async def test_a_womans_words_eighteen_seconds_long(whisper: WhisperTranscriber) -> None:
    words = (
        "I would like to tell you about my trip to the mountains. We left early in the morning, before the sun was up. "
        "The road was empty, and we saw two deer near the river. In the afternoon it began to snow, so we stopped "
        "at a small house. The people there were very kind, and they gave us hot soup. We will never forget that day."
    )
    audio = await spoken(words)
    assert audio.size > 17 * 16_000
    async with heard(whisper, audio) as transcription:
        assert word_error_rate(words, await transcription.text()) < 0.08


@pytest.mark.models
@pytest.mark.parametrize(
    "noise",
    [
        lambda rng, n: rng.standard_normal(n) * 1500,
        lambda rng, n: rng.standard_normal(n) * 30,
        lambda _, n: np.sin(np.arange(n) * 2 * np.pi * 50 / 16_000) * 3000,
        lambda _, n: np.zeros(n),
    ],
)
@pytest.mark.parametrize("seconds", [0.5, 2, 6])
async def test_noise_taken_for_speech_has_no_words(
    whisper: WhisperTranscriber, noise: Callable[[np.random.Generator, int], Samples], seconds: float
) -> None:
    samples = np.asarray(noise(np.random.default_rng(0), int(seconds * 16_000)), np.float64).astype(np.int16)
    assert await whisper.worker.run(lambda: whisper.transcribe(samples, None)) == ""


@pytest.mark.models
async def test_thanks_are_words(whisper: WhisperTranscriber) -> None:
    async with heard(whisper, await spoken("Thank you.")) as transcription:
        assert word_error_rate("Thank you.", await transcription.text()) == 0.0


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "goes_on", "ends"),
    [("I would like to book a table for four people.", "", True), ("I would like to book a table for", " four", False)],
)
async def test_it_is_known_how_surely_a_sentence_ends(
    whisper: WhisperTranscriber, text: str, goes_on: str, ends: bool
) -> None:
    whole = await spoken(text + goes_on)
    # What is cut off is the last word, so that what is left was said as the beginning of more.
    said = whole if ends else whole[: whole.size - int(0.42 * 16_000)]
    async with heard(whisper, said) as transcription:
        certainty = ends_of(await transcription.text())
    assert certainty is not None
    assert (certainty > 0.6) is ends


@pytest.mark.models
def test_languages_are_hints() -> None:
    model = WhisperModel(fetched("whisper-base").parent, threads=1)
    assert [model.language(hint) for hint in (None, "", "de-AT", "pt_BR", "EN", "tlh")] == [
        "en",
        "en",
        "de",
        "pt",
        "en",
        "en",
    ]


def test_a_model_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Whisper cannot be loaded from"):
        WhisperTranscriber(tmp_path).load()


@pytest.mark.models
@pytest.mark.parametrize(
    ("hint", "code"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("de-DE", "de"),
        ("pt-BR", "pt"),
        ("zh-Hans", "zh"),
        ("klingon", None),
        ("tlh", None),
        ("auto", None),
        ("zh-Hant", "zh"),
        ("ZH-hans-CN", "zh"),
        ("cmn", "zh"),
        ("nb-NO", "no"),
        ("fil", "tl"),
        ("iw", "he"),
        ("xx", None),
        ("x-private", None),
        ("i-klingon", None),
        ("notimestamps", None),
        ("translate", None),
        ("startoftranscript", None),
    ],
)
def test_odd_tags_are_known_or_not(whisper: WhisperTranscriber, hint: str, code: str | None) -> None:
    assert whisper._model is not None
    assert whisper._model.known_language(hint) == code
    assert whisper._model.language(hint) == (code or "en")
    assert whisper.knows(hint) is (code is not None)
    assert code is None or code in whisper.known_languages()


@pytest.mark.models
def test_all_languages_of_the_model_can_be_listed(whisper: WhisperTranscriber) -> None:
    assert len(whisper.known_languages()) == 99
    assert {"en", "de", "pt", "zh", "haw"} <= set(whisper.known_languages())


def test_before_it_is_loaded_any_language_will_do(tmp_path: Path) -> None:
    assert WhisperTranscriber(tmp_path).knows("xx")
