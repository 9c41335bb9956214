"""What the call itself costs (sockets, pacing, the core, the record), by real calls against a server of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from antiphon.capacity.parts import REPLY, TURN_S, Part
from antiphon.client.caller import Caller, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples
from antiphon.demo.server_process import free_port, server_process
from antiphon.errors import SetupError

CALLS = 10
MEASURED_S = 16.0
RATE = 16_000
METRIC = "process_cpu_seconds_total"

CONFIG = f"""
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "scripted" }}
transcriber = {{ engine = "scripted", texts = ["What are the opening hours on Thursday?"] }}
models.scripted = {{ engine = "scripted", replies = ["{REPLY}"] }}
voices.Mark = {{ engine = "scripted", character_ms = 45 }}
"""
"""Engines that cost next to nothing."""


async def media(make_key: Callable[[Path], Awaitable[str]], speech: Samples) -> Part:
    """Calls at once, each saying ``speech`` (16 kHz) once a turn and hearing an answer."""
    with tempfile.TemporaryDirectory(prefix="antiphon-capacity-") as name:
        folder = Path(name)
        (folder / "antiphon.toml").write_text(CONFIG, encoding="utf-8")
        key = await make_key(folder / "data")
        arguments = ("--config", str(folder / "antiphon.toml"), "--data-dir", str(folder / "data"))
        async with server_process(free_port(), folder / "server.log", arguments) as url, Api(url, key) as api:
            return Part("sockets, pacing, the call", "Antiphon", await _measure(api, speech), one_core=True)


async def _measure(api: Api, speech: Samples) -> float:
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(_caller(await _create(api))) for _ in range(CALLS)]
        talking = [asyncio.create_task(_talk(caller, speech, place)) for place, caller in enumerate(callers)]
        try:
            await asyncio.sleep(TURN_S / 2)
            before = await _processor_s(api)
            await asyncio.sleep(MEASURED_S)
            return (await _processor_s(api) - before) / (CALLS * MEASURED_S)
        finally:
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)


async def _create(api: Api) -> str:
    medium = {"serverWebSocket": {"inputSampleRate": RATE, "outputSampleRate": 24_000}}
    call = await api.create_call({"medium": medium, "firstSpeakerSettings": {"user": {}}})
    return str(call["joinUrl"])


def _caller(url: str):  # type: ignore[no-untyped-def]
    return join(url, Voice(RATE), input_rate=RATE, output_rate=24_000)


async def _talk(caller: Caller, speech: Samples, place: int) -> None:
    """Say it, wait for the rest of the turn, and again; callers are spread over the turn."""
    await asyncio.sleep(place * TURN_S / CALLS)
    pause_s = TURN_S - len(speech) / RATE
    while True:
        await caller.say(speech)
        await asyncio.sleep(pause_s)


async def _processor_s(api: Api) -> float:
    value = await api.metric(METRIC)
    if value is None or not np.isfinite(value):
        raise SetupError("this system does not tell what processor time a process takes; Linux does")
    return value
