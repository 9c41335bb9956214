"""``antiphon check``: ask every configured engine, each by itself, and say what it answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antiphon.audio.resampling import resample_file
from antiphon.check import questions
from antiphon.check.named import Named, named
from antiphon.client.wav import read_wav
from antiphon.engines import registry
from antiphon.engines.needs import check_path
from antiphon.engines.protocols import LISTENING_RATE, Samples
from antiphon.engines.settings import EngineSettings
from antiphon.engines.threads import in_thread
from antiphon.errors import AntiphonError, EngineError

CLIP = "capital"
PATIENCE_S = 60.0
"""Longest wait for one answer, and for one engine to load."""

LOADS_S = 180.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one question. ``answer`` is the reason, with the way out, where it failed."""

    name: str
    good: bool
    answer: str
    took_s: float = 0.0


Look = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """``looks``: what else is looked at first, by name: the data folder and the database."""

    settings: EngineSettings
    models_dir: Path
    looks: Sequence[tuple[str, Look]] = ()


async def run(options: CheckOptions, console: Console) -> bool:
    """Ask all, print a table, and return True if all answered."""
    findings: list[Finding] = []
    with console.status("Looking at the folders") as status:
        for name, look in options.looks:
            findings.append(await ask(name, look))
        engines = registry.build(options.settings, options.models_dir)
        try:
            if engines.fetched is not None and engines.fetched.names:
                status.update("Looking at the models")
                fetched = engines.fetched
                findings.append(await ask("fetched models", partial(_whole, fetched), LOADS_S))
            speech = _speech()
            everything = named(options.settings, engines)
            embedded = [one for one in everything if one.embedded]
            elsewhere = [one for one in everything if not one.embedded]
            asked: dict[str, Finding] = {}
            if elsewhere:
                status.update(f"Asking {', '.join(one.name for one in elsewhere)}")
                for finding in await asyncio.gather(*(_ask_engine(one, speech) for one in elsewhere)):
                    asked[finding.name] = finding
            for one in embedded:  # one after the other: they share the cores
                status.update(f"Loading and asking {one.name}")
                asked[one.name] = await _ask_engine(one, speech)
            findings += [asked[one.name] for one in everything]
        finally:
            status.update("Closing the engines")
            await engines.close()
    report(findings, console)
    return all(finding.good for finding in findings)


async def ask(name: str, question: Look, patience_s: float = PATIENCE_S) -> Finding:
    """What came of ``question``. Any failure is a finding."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience_s):
            answer, good = await question(), True
    except TimeoutError:
        answer, good = f"no answer in {patience_s:g} s", False
    except AntiphonError as error:
        answer, good = " ".join(str(error).split()), False
    except Exception as error:
        answer, good = f"broke: {type(error).__name__}", False
    return Finding(name, good, answer, time.monotonic() - began)


async def _ask_engine(one: Named, speech: Samples) -> Finding:
    if one.embedded:
        loaded = await ask(one.name, partial(_load, one), LOADS_S)
        return await ask(one.name, _question(one, speech)) if loaded.good else loaded
    finding = await ask(one.name, _question(one, speech))
    if finding.good:
        return finding
    return Finding(finding.name, False, f"{finding.answer}; see {one.key} in the configuration", finding.took_s)


async def _load(one: Named) -> str:
    check_path(one.key, one.settings)
    await in_thread(f"load {one.name}", one.engine.load)
    return "loaded"


async def _whole(fetched: Any) -> str:
    await in_thread("check models", fetched.check_fetched)
    return f"whole: {', '.join(fetched.names)}"


def _question(one: Named, speech: Samples) -> Look:
    engine: Any = one.engine
    match one.kind:
        case "voice_activity":
            return partial(questions.detect, engine, speech)
        case "end_of_turn":
            return partial(questions.judge, engine, speech)
        case "transcriber" | "transcribers":
            return partial(questions.hear, engine, speech)
        case "models":
            return partial(questions.think, engine, speech)
        case "voices":
            return partial(questions.speak, engine)
        case kind:
            raise EngineError(f"nobody knows what to ask {kind}", retryable=False)


def _speech() -> Samples:
    with resources.as_file(resources.files("antiphon.demo") / f"{CLIP}.wav") as path:
        wav = read_wav(path)
    return resample_file(wav.samples, wav.rate, LISTENING_RATE)


def report(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each, and how many failed."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("what", overflow="fold")
    table.add_column("answer", overflow="fold", ratio=1)
    table.add_column("seconds", justify="right", no_wrap=True)
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[red]FAILS[/]"
        table.add_row(mark, escape(finding.name), escape(finding.answer), f"{finding.took_s:.2f}")
    console.print(table)
    failed = [finding.name for finding in findings if not finding.good]
    if failed:
        console.print(f"\n{len(failed)} of {len(findings)} failed: {escape(', '.join(failed))}")
    else:
        console.print(f"\nAll {len(findings)} answered.")
