"""The set for `bench_turns.py`: interruptions, sounds of listening, sentences with and without a pause inside.

Synthetic voices are flite's, espeak-ng's and hibari; the human ones are pocketsphinx-testdata's. Every clip is at
16 kHz, as loud as the others, and has no silence at its ends. Nothing in the server was tuned on these clips.

Needs Debian's packages: `apt-get install pocketsphinx-testdata flite espeak-ng`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np

from antiphon.audio.resampling import resample_file
from antiphon.client.wav import Samples, read_wav
from antiphon.engines.hibari import HibariSpeaker

RATE = 16_000
PEAK = 0.5
LOUD = 0.01
"""Root mean square of 10 ms, of full scale, at the edges of a clip (-40 dBFS)."""
ONSET = 0.02
"""The same for where its speech begins: some human clips begin with the noise of the room at -40 dBFS."""
_STEP = RATE // 100
_HUMAN = Path("/usr/share/pocketsphinx/test/data")
_LONGEST_INTERRUPTION_S = 3.0
_LONGEST_PAUSE_S = 0.2
_FLITE = ("slt", "rms", "awb", "kal16")
_ESPEAK = ("en-us", "en-gb", "en-us+f3")

INTERRUPTIONS = (
    "Wait, stop please.",
    "No, that is not what I meant.",
    "Sorry, can I ask you something?",
    "How much does it cost?",
    "Hold on, I need to find a pen.",
    "I want to speak to a human.",
    "What about Tuesday?",
    "Yes, but I only have ten minutes.",
)

LISTENING = ("Mm-hmm.", "Yeah.", "Right.", "Okay.", "Uh-huh.", "I see.", "Sure.", "Hmm.", "Got it.")
_FLITE_PHONES = {"Mm-hmm.": "pau m m hh m m pau", "Hmm.": "pau hh m m pau"}
"""flite spells these letter by letter."""
_ESPEAK_PHONES = {"Mm-hmm.": "[[m:h'm:]]", "Hmm.": "[[hm:]]"}

PAUSED = (
    ("I would like to book a table for", "four people on Saturday evening."),
    ("My phone number is", "four seven two nine."),
    ("Can you help me to", "reset the password for my account?"),
    ("I need a room with", "two beds and a view of the sea."),
    ("The train that I wanted to take", "was late again this morning."),
)

WHOLE = (
    "I would like to book a table for four people.",
    "What should I do if the red light goes on?",
    "Please call me back tomorrow afternoon.",
    "I have been waiting for almost an hour.",
    "Is it going to rain over the weekend?",
    "My name is Peter Miller.",
    "Thanks, that is all I wanted to know.",
)


@dataclass(frozen=True, slots=True)
class Clip:
    """Something a caller does. ``resumes_s``: where what follows the pause inside begins; 0 without a pause."""

    name: str
    text: str
    samples: Samples
    resumes_s: float = 0.0

    @property
    def onset_s(self) -> float:
        """Where the first loud sample is; what lies before it is a breath or the room."""
        return int(np.argmax(_levels(self.samples) >= ONSET)) / 100


def interruptions() -> list[Clip]:
    """46: eight phrases in four voices each, and 14 human clips."""
    spoken = list(_in_turn(INTERRUPTIONS, 4))
    human = [Clip(clip.name, clip.text, _beginning(clip.samples)) for clip in _human()]
    return _mixed(spoken, human)


def listening() -> list[Clip]:
    """44: nine words in four voices each, and eight noises."""
    return _mixed(list(_in_turn(LISTENING, 4)), _noises())


def with_pause() -> list[Clip]:
    """30: five sentences in flite's four voices, cut at a word; five human sentences cut in two places each."""
    pauses = cycle((0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    clips = [
        _with_pause(
            Clip(f"flite {voice}", f"{before} … {after}", _flite(voice, f"{before} {after}")), cut, next(pauses)
        )
        for before, after in PAUSED
        for voice in _FLITE
        for cut in [_flite_boundary(voice, before, after)]
    ]
    long = [clip for clip in _human() if clip.name == "human reader"]
    human = [
        _with_pause(clip, _quietest(clip.samples, low, high), next(pauses))
        for clip in long
        for low, high in ((0.25, 0.45), (0.5, 0.75))
    ]
    return _mixed(clips, human)


def without_pause() -> list[Clip]:
    """33: seven sentences in three voices each and twelve human clips, longer silences inside shortened."""
    human = [clip for clip in _human() if clip.text not in _FRAGMENTS]
    clips = _mixed(list(_in_turn(WHOLE, 3)), human)
    return [Clip(clip.name, clip.text, _without_pauses(clip.samples)) for clip in clips]


_FRAGMENTS = (
    "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "had he married a more a amiable woman he might have been made still more respectable than he was",
)
"""Human clips too long, or too unlike anything said in a call, to count as a short complete sentence."""


def _mixed(first: list[Clip], second: list[Clip]) -> list[Clip]:
    """Both lists spread evenly, so that every part of the whole is like it."""
    places = [(number / len(clips), clip) for clips in (first, second) for number, clip in enumerate(clips)]
    return [clip for _, clip in sorted(places, key=lambda place: place[0])]


def _in_turn(texts: tuple[str, ...], times: int) -> Iterator[Clip]:
    """Each text in ``times`` voices, never twice in the same."""
    voices = [*(("flite", v) for v in _FLITE), *(("espeak-ng", v) for v in _ESPEAK), ("hibari", "")]
    for time in range(times):
        for number, text in enumerate(texts):
            engine, voice = voices[(number + 3 * time) % len(voices)]
            samples = {"flite": _flite, "espeak-ng": _espeak, "hibari": _hibari}[engine](voice, text)
            yield Clip(f"{engine} {voice}".strip(), text, trimmed(samples))


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is missing; run: apt-get install flite espeak-ng")


def _flite(voice: str, text: str) -> Samples:
    said = ("-p", _FLITE_PHONES[text]) if text in _FLITE_PHONES else ("-t", text)
    return _spoken("flite", "-voice", voice, *said, "-o")


def _flite_boundary(voice: str, before: str, after: str) -> int:
    """The sample at which the words of ``before`` end in the sentence made of both."""
    phones = [phone for phone in _run("flite", "-voice", voice, "-ps", "-t", before, "none").split() if phone != "pau"]
    durations = _run("flite", "-voice", voice, "-psdur", "-t", f"{before} {after}", "none").split()
    ends = [float(end) for phone, end in (one.rsplit(":", 1) for one in durations) if phone != "pau"]
    return round(ends[len(phones) - 1] * RATE)


def _espeak(voice: str, text: str) -> Samples:
    return _spoken("espeak-ng", "-v", voice, "-s", "150", _ESPEAK_PHONES.get(text, text), "-w")


def _spoken(*command: str) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        _run(*command, str(path))
        wav = read_wav(path)
    return _as_loud(resample_file(wav.samples, wav.rate, RATE))


@cache
def _hibari_speaker() -> HibariSpeaker:
    return HibariSpeaker()


def _hibari(_: str, text: str) -> Samples:
    speaker = _hibari_speaker()

    async def speak() -> Samples:
        return np.concatenate([piece async for piece in speaker.speak(text)])

    return _as_loud(resample_file(asyncio.run(speak()), speaker.sample_rate, RATE))


@cache
def _human() -> list[Clip]:
    """The 14 human recordings: five commands, five sentences read aloud, four numbers and orders."""
    if not _HUMAN.is_dir():
        sys.exit("no human speech here; run: apt-get install pocketsphinx-testdata")
    clips = []
    for name, file in (("human cards", "cards/cards.transcription"), ("human reader", "librivox/transcription")):
        transcripts = _HUMAN / file
        for text, stem in re.findall(r"^<s> (.*?) +</s> \((.+)\)$", transcripts.read_text(), re.MULTILINE):
            wav = read_wav(transcripts.parent / f"{stem}.wav")
            clips.append(Clip(name, text, trimmed(_as_loud(resample_file(wav.samples, wav.rate, RATE)))))
    for file in ("goforward.raw", "numbers.raw", "something.raw", "tidigits/dhd.2934z.raw"):
        samples = np.fromfile(_HUMAN / file, "<i2").astype(np.int16)
        clips.append(Clip("human", Path(file).stem, trimmed(_as_loud(samples))))
    return clips


def _noises() -> list[Clip]:
    """Two each of coughs, doors, clicks and breaths, of different length and pitch."""
    chance = np.random.default_rng(7)

    def burst(seconds: float, decay_s: float, smooth: int) -> Samples:
        noise = chance.standard_normal(round(seconds * RATE) + smooth)
        noise = np.convolve(noise, np.ones(smooth) / smooth, mode="same")
        noise *= np.exp(-np.arange(noise.size) / RATE / decay_s)
        return np.asarray(noise / np.abs(noise).max() * 0.5 * 32_767, np.int16)

    gap = np.zeros(RATE // 8, np.int16)
    made = (
        ("cough", np.concatenate([burst(0.25, 0.08, 6), gap, burst(0.3, 0.1, 6)])),
        ("cough", burst(0.35, 0.12, 10)),
        ("door", burst(0.5, 0.1, 60)),
        ("door", np.concatenate([burst(0.1, 0.03, 20), gap, burst(0.6, 0.15, 80)])),
        ("click", burst(0.02, 0.004, 1)),
        ("click", np.concatenate([burst(0.02, 0.004, 2), gap, burst(0.03, 0.006, 2)])),
        ("breath", (burst(0.6, 10.0, 3) * np.hanning(round(0.6 * RATE) + 3)).astype(np.int16)),
        ("breath", (burst(0.9, 10.0, 4) * np.hanning(round(0.9 * RATE) + 4)).astype(np.int16)),
    )
    return [Clip("noise", text, trimmed(samples)) for text, samples in made]


def _as_loud(samples: Samples) -> Samples:
    return (samples * (PEAK * 32_767 / max(1, int(np.abs(samples.astype(np.int32)).max())))).astype(np.int16)


def _levels(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Root mean square of every 10 ms, of full scale."""
    steps = np.pad(samples, (0, -samples.size % _STEP)).reshape(-1, _STEP) / 32_768
    return np.asarray(np.sqrt(np.mean(steps**2, axis=1)))


def trimmed(samples: Samples) -> Samples:
    """From the first loud 10 ms to the end of the last."""
    loud = np.flatnonzero(_levels(samples) >= LOUD)
    return samples[loud[0] * _STEP : (loud[-1] + 1) * _STEP]


def _without_pauses(samples: Samples) -> Samples:
    """Silences inside shortened, so that the clip is one turn."""
    loud = np.flatnonzero(_levels(samples) >= LOUD)
    most = round(_LONGEST_PAUSE_S * 100)
    pieces, start = [], int(loud[0])
    for before, after in pairwise(loud.tolist()):
        if after - before > most:
            pieces.append(samples[start * _STEP : (before + most // 2) * _STEP])
            start = after - most // 2
    return np.concatenate([*pieces, samples[start * _STEP : (int(loud[-1]) + 1) * _STEP]])


def _quietest(samples: Samples, low: float, high: float) -> int:
    """The middle of the quietest 80 ms between two parts of the whole: there a word ends, most likely."""
    levels = np.convolve(_levels(samples), np.ones(8) / 8, mode="same")
    first, last = int(low * levels.size), int(high * levels.size)
    return (first + int(np.argmin(levels[first:last]))) * _STEP


def _beginning(samples: Samples) -> Samples:
    """At most the first three seconds, up to a quiet spot."""
    if samples.size <= _LONGEST_INTERRUPTION_S * RATE:
        return samples
    longest = _LONGEST_INTERRUPTION_S * RATE / samples.size
    return trimmed(samples[: _quietest(samples, longest / 2, longest)])


def _with_pause(clip: Clip, cut: int, pause_s: float) -> Clip:
    before, after = trimmed(clip.samples[:cut]), trimmed(clip.samples[cut:])
    silence = np.zeros(round(pause_s * RATE), np.int16)
    resumes_s = (before.size + silence.size) / RATE
    name = f"{clip.name}, {pause_s:.1f} s at {before.size / RATE:.1f} s"
    return Clip(name, clip.text, np.concatenate([before, silence, after]), resumes_s)
