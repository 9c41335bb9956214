"""Whisper on CTranslate2: one stretch of speech in, words out, with guards against what Whisper makes up.

Whisper was trained on windows of 30 s, which cost over a second on two cores. A short window costs a quarter of that,
but the model, seeing no end of the window, may say a sentence twice, most of all on telephone audio. What cures it
nearly always is to let it write timestamps and to leave some seconds of silence after the speech; the rest is noticed
(too many tokens, a phrase said over and over) and decided by the full window.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
import tokenizers

from antiphon.engines.features import as_float, log_mel
from antiphon.engines.protocols import LISTENING_RATE, Samples
from antiphon.engines.written import Written
from antiphon.errors import EngineError

FULL_WINDOW_S = 30.0
SHORT_WINDOW_S = 12.0
ROOM_S = 4.0
"""Silence that a short window has at least after the speech."""

_TOKENS_PER_S = 7.0
_TOKENS_PER_S_ELSEWHERE = 20.0
"""In other languages words take more tokens, in some scripts several a character."""
_SPARE_TOKENS = 16
_STAMP_S = 0.02
_LATE_S = 0.5
_UNSURE = -1.0
_NO_SPEECH = 0.4
_COMPRESSION = 2.4
_OTHER_NAMES = {
    **{"nb": "no", "fil": "tl", "jv": "jw", "iw": "he", "in": "id", "ji": "yi", "cmn": "zh", "yue": "zh"},
    **{"arb": "ar", "pes": "fa", "prs": "fa", "zsm": "ms", "ekk": "et", "lvs": "lv", "uzn": "uz", "azj": "az"},
}
"""What Whisper calls otherwise than BCP 47: older and newer codes, and members of its macrolanguages."""
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
"""Longer words between such marks are no languages but what to do: ``<|translate|>``."""
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one run of the model gave. ``log_probability`` is the mean of its tokens, natural logarithm."""

    text: str
    log_probability: float
    no_speech: float
    looping: bool
    ends: float = 0.0
    """Probability that a sentence ends with the last word."""

    @property
    def written(self) -> Written:
        """The words and their end."""
        return Written(self.text, self.ends)

    @property
    def noise(self) -> bool:
        """Whether the model itself doubts that anybody spoke: what it wrote is then made up.

        Whisper's own rule with a lower bound: speech it was unsure of stayed under 0.33, noise and tones over 0.42.
        """
        return self.no_speech > _NO_SPEECH and (self.log_probability < _UNSURE or self.looping)


class WhisperModel:
    """A multilingual Whisper model for CTranslate2, 8 bit integers, greedy. Blocking; one caller at a time."""

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
            )
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            raise EngineError(f"Whisper cannot be loaded from {folder}: {error}", retryable=False) from None
        marks = filter(None, map(_LANGUAGE.fullmatch, self._tokenizer.get_vocab()))
        # A model for English alone has the marks of all languages, too.
        self.languages = tuple(sorted(mark[1] for mark in marks)) if self._model.is_multilingual else ("en",)
        self._end_of_text = self._id("<|endoftext|>")
        self._first_stamp = self._id("<|notimestamps|>") + 1
        ends = [self._tokenizer.encode(mark, add_special_tokens=False).ids for mark in _SENTENCE_ENDS]
        self._sentence_ends = [tokens[0] for tokens in ends if len(tokens) == 1]

    def language(self, hint: str | None) -> str:
        """Whisper's code for a BCP-47 hint; English where there is none or Whisper doesn't know it."""
        return self.known_language(hint or "en") or "en"

    def known_language(self, hint: str) -> str | None:
        """Whisper's code for a BCP-47 hint, by its first part; ``None`` where Whisper doesn't know it."""
        code = hint.replace("_", "-").split("-")[0].lower()
        for name in (code, _OTHER_NAMES.get(code)):
            if name in self.languages:
                return name
        return None

    def transcribe(self, audio: Samples, language: str) -> Written:
        """The words in ``audio``: 16 kHz, at most 26 s. ``language`` as :meth:`language` gives it."""
        seconds = audio.size / LISTENING_RATE
        short = self.decode(audio, language, max(SHORT_WINDOW_S, seconds + ROOM_S))
        if short.noise:
            return Written("")
        if not short.looping:
            return short.written
        full = self.decode(audio, language, FULL_WINDOW_S)
        if full.noise:
            return Written("")
        if not full.looping or _plain(full.text) == _plain(short.text):
            return full.written  # the same from both windows: the caller did say it twice
        return Written(once(full.text), full.ends)

    def decode(self, audio: Samples, language: str, window_s: float) -> Decoded:
        """Run the model once over ``audio`` and silence up to ``window_s``."""
        seconds = audio.size / LISTENING_RATE
        window = np.zeros(int(window_s * LISTENING_RATE), np.float32)
        window[: audio.size] = as_float(audio)[: window.size]
        rate = _TOKENS_PER_S if language == "en" else _TOKENS_PER_S_ELSEWHERE
        most_tokens = int(seconds * rate) + _SPARE_TOKENS
        result = self._model.generate(
            ctranslate2.StorageView.from_array(log_mel(window)[None]),
            [["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>"]],
            beam_size=1,
            max_length=min(448, 2 * most_tokens),  # CTranslate2 generates at most half of it
            return_scores=True,
            return_no_speech_prob=True,
            return_logits_vocab=True,
        )[0]
        tokens: list[int] = result.sequences_ids[0]
        spoken = self._spoken(tokens, seconds)
        text = " ".join(self._tokenizer.decode(spoken).split())
        return Decoded(
            text=text,
            log_probability=float(result.scores[0]),
            no_speech=float(result.no_speech_prob),
            looping=len(tokens) >= most_tokens or repeats(text),
            ends=self._ends(tokens, len(spoken), result.logits[0]),
        )

    def _ends(self, tokens: list[int], count: int, logits: list[ctranslate2.StorageView]) -> float:
        """Probability of a sentence's end where the last of the first ``count`` text tokens is one; 0 elsewhere."""
        places = [place for place, token in enumerate(tokens) if token < self._end_of_text][:count]
        if not places:
            return 0.0
        last = tokens[places[-1]]
        mark = self._tokenizer.decode([last]).strip()
        if not mark.endswith(_SENTENCE_ENDS) or mark.endswith(".."):
            return 0.0
        scores = np.asarray(logits[places[-1]]).ravel()
        likelihoods = np.exp(scores - scores.max())
        return float(likelihoods[sorted({*self._sentence_ends, last})].sum() / likelihoods.sum())

    def _spoken(self, tokens: list[int], seconds: float) -> list[int]:
        """The text tokens, without segments said to begin after the audio's end."""
        spoken: list[int] = []
        for token in tokens:
            if token >= self._first_stamp:
                if spoken and (token - self._first_stamp) * _STAMP_S > seconds + _LATE_S:
                    break
            elif token < self._end_of_text:
                spoken.append(token)
        return spoken

    def _id(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise EngineError(f"this is no multilingual Whisper model: its tokenizer has no {token}", retryable=False)
        return int(number)


def repeats(text: str) -> bool:
    """Whether ``text`` is one phrase of four words or more said over and over, or anything that packs too well.

    The compression ratio of 2.4 is Whisper's own measure.
    """
    if once(text) != text:
        return True
    data = text.encode()
    return len(data) / len(zlib.compress(data)) > _COMPRESSION


def once(text: str) -> str:
    """``text`` without a repetition that runs to its end: ``A A A`` and ``A A`` with the last one cut are ``A``."""
    words, plain = text.split(), _plain(text)
    for length in range(4, len(words) * 2 // 3 + 1):
        if all(plain[index] == plain[index - length] for index in range(length, len(words))):
            return " ".join(words[:length])
    return text


def _plain(text: str) -> list[str]:
    return [word.strip(".,;:!?").lower() for word in text.split()]
