"""``antiphon capacity``: measure every part, and say what the machine carries."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from antiphon.audio.resampling import LiveResampler
from antiphon.capacity import engines as measured
from antiphon.capacity.media import media
from antiphon.capacity.parts import TURN_S, USABLE, Capacity, Part
from antiphon.client.files import writable, write_text
from antiphon.client.wav import Samples, read_wav
from antiphon.engines import registry
from antiphon.engines.protocols import LISTENING_RATE
from antiphon.engines.settings import EngineSettings

CLIP = "story"
LONGEST_SPEECH_S = 3.0


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """``make_key`` makes an API key in the data folder it is given; ``cores``: of this machine, that we may use."""

    settings: EngineSettings
    models_dir: Path
    make_key: Callable[[Path], Awaitable[str]]
    cores: int
    out: Path | None = None


async def run(options: CapacityOptions, console: Console) -> Capacity:
    """Measure and print; about a minute."""
    if options.out is not None:
        writable(options.out)
    speech, settings = _speech(), options.settings
    engines = registry.build(settings, options.models_dir)
    model, voice = engines.default_model, engines.voice(engines.default_voice)
    children_s = engines.processor_meter()
    listens, thinks = settings.transcriber.engine, settings.models[model].engine
    works: list[tuple[str, Callable[[], Awaitable[Part]]]] = [
        ("the call itself: ten callers talk to a server of its own", lambda: media(options.make_key, speech)),
        (
            "voice activity",
            lambda: measured.voice_activity(engines.voice_activity, settings.voice_activity.engine, speech),
        ),
        ("the transcriber", lambda: measured.transcriber(engines.transcriber, listens, speech)),
        ("the language model", lambda: measured.language_model(engines.model(model), thinks, speech, children_s)),
        ("the voice", lambda: measured.speaker(voice.speaker, settings.voices[voice.name].engine)),
    ]
    if (judge := engines.end_of_turn) is not None and settings.end_of_turn is not None:
        name = settings.end_of_turn.engine
        works.insert(2, ("the end of turn", lambda: measured.end_of_turn(judge, name, speech)))
    parts = []
    try:
        with console.status("Loading the models"):
            await engines.load()
        for what, work in works:
            with console.status(f"Measuring {what}"):
                parts.append(await work())
    finally:
        await engines.close()
    found = Capacity(parts, options.cores)
    _report(found, console)
    if options.out is not None:
        write_text(options.out, json.dumps(as_json(found), indent=2) + "\n")
        console.print(f"Left in {options.out}")
    return found


def as_json(found: Capacity) -> dict[str, Any]:
    """The same, for programs."""
    return {
        "cores": found.cores,
        "turnSeconds": TURN_S,
        "coreSecondsPerCallSecond": found.cost,
        "calls": found.calls,
        "parts": [asdict(part) for part in found.parts],
    }


def _speech() -> Samples:
    with resources.as_file(resources.files("antiphon.demo") / f"{CLIP}.wav") as path:
        wav = read_wav(path)
    resampler = LiveResampler(wav.rate, LISTENING_RATE)
    speech = np.concatenate([resampler.push(wav.samples), resampler.flush()])
    return speech[: int(LONGEST_SPEECH_S * LISTENING_RATE)]


def _report(found: Capacity, console: Console) -> None:
    table = Table("part", "engine", box=None, pad_edge=False)
    table.add_column("ms of a core\nper call-second", justify="right")
    table.add_column("answers\nafter, s", justify="right")
    table.add_column("calls, if it\nwere alone", justify="right")
    for part in found.parts:
        calls = part.calls(found.cores)
        table.add_row(
            part.name,
            part.engine + (" (elsewhere)" if part.elsewhere else ""),
            f"{part.cost * 1000:.1f}",
            "" if part.answer_s is None else f"{part.answer_s:.2f}",
            "many" if calls > 9_999 else f"{calls:.0f}",
        )
    console.print(table)
    noun = "call" if found.calls == 1 else "calls"
    console.print(
        f"\nThis machine ({found.cores} cores) carries about [bold]{found.calls}[/] {noun} at once: "
        f"{found.cost * 1000:.1f} ms of a core per call-second, of which the {found.bound.name} takes most."
    )
    console.print(
        f"A call is taken to have a turn every {TURN_S:.0f} s, and {USABLE:.0%} of the cores to be usable; "
        "with more calls they wait for each other.",
        soft_wrap=True,
    )
    if any(part.elsewhere for part in found.parts):
        console.print("What engines elsewhere carry is not known here: only what asking them costs.")
    one_core = next((part for part in found.parts if part.one_core), None)
    if one_core is not None and found.cores > 1 and found.bound is one_core:
        console.print(f"One process uses one core for calls: `antiphon serve --workers {found.cores}` uses all.")
