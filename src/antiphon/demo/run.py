"""The demo from start to end: a server of its own, the conversation, the judgement, and the files it leaves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from antiphon.client.files import writable, write_text
from antiphon.client.live import Live, middle, turn_table
from antiphon.client.rest import Api
from antiphon.client.wav import Wav, write_wav
from antiphon.demo.judgement import Judgement, judge
from antiphon.demo.scene import CALL, INPUT_RATE, OUTPUT_RATE, Played, play
from antiphon.demo.server_process import free_port, server_process
from antiphon.engines.protocols import Transcriber
from antiphon.errors import CallEnded, SetupError


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """``make_key`` makes an API key in the data folder it is given; ``arguments`` are more of them for
    ``antiphon serve``; ``open_transcriber`` brings the engine that understands the agent's sound afterwards, and
    closes it.
    """

    out: Path
    make_key: Callable[[Path], Awaitable[str]]
    open_transcriber: Callable[[], AbstractContextManager[Transcriber]]
    arguments: Sequence[str] = ()


async def run(options: DemoOptions, console: Console) -> bool:
    """Hold the conversation and print it. True if every turn was understood and answered, and heard to be."""
    for name in ("caller.wav", "agent.wav", "call.json"):
        writable(options.out / name)
    with tempfile.TemporaryDirectory(prefix="antiphon-demo-") as folder:
        data = Path(folder) / "data"
        key = await options.make_key(data)
        arguments = ("--data-dir", str(data), *options.arguments)
        with console.status("Starting a server and loading its models") as status:
            async with server_process(free_port(), Path(folder) / "server.log", arguments) as url, Api(url, key) as api:
                status.stop()
                console.print(f"A server answers at {url}")
                played, record = await _converse(api, console)
    with console.status("Listening to what the agent said"), options.open_transcriber() as transcriber:
        judgement = await judge(played, transcriber)
    _leave(options.out, played, judgement, record)
    _report(options.out, played, judgement, record, console)
    return not judgement.complaints


async def _converse(api: Api, console: Console) -> tuple[Played, dict[str, Any]]:
    call = await api.create_call(CALL)
    console.print(f"POST {api.url}/api/calls: {call['callId']}\n")
    try:
        played = await play(call["joinUrl"], Live(console))
    except CallEnded as error:
        raise SetupError(f"the server ended the call ({error.close_code}): {error}") from error
    record = {
        "call": await api.get_call(call["callId"]),
        "messages": await api.messages(call["callId"]),
        "events": await api.events(call["callId"]),
        "serverMemoryBytes": await _memory_bytes(api),
    }
    return played, record


async def _memory_bytes(api: Api) -> float | None:
    """Return the memory of the server and of the processes that its engines compute in."""
    figures = [await api.metric(name) for name in ("process_resident_memory_bytes", "antiphon_engine_resident_bytes")]
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def _leave(out: Path, played: Played, judgement: Judgement, record: dict[str, Any]) -> None:
    write_wav(out / "caller.wav", Wav(played.caller, INPUT_RATE))
    write_wav(out / "agent.wav", Wav(played.agent, OUTPUT_RATE))
    result = {
        **record,
        "turns": [asdict(turn) for turn in played.turns],
        "medianFirstAudioSeconds": middle([turn.audio_s for turn in played.turns]),
        "understood": judgement.understood,
        "wordErrorRate": round(judgement.word_error_rate, 4),
        "complaints": judgement.complaints,
    }
    write_text(out / "call.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def _report(out: Path, played: Played, judgement: Judgement, record: dict[str, Any], console: Console) -> None:
    console.print()
    console.print(turn_table(played.turns))
    rate = judgement.word_error_rate
    console.print(f"The agent's sound, transcribed back, differs from its transcript in {rate:.1%} of the words.")
    if (memory := record["serverMemoryBytes"]) is not None:
        console.print(f"The server held {memory / 1e9:.2f} GB in memory, models included.")
    console.print(f"Left in {out}: caller.wav, agent.wav, call.json")
    for complaint in judgement.complaints:
        console.print(f"[red]{complaint}[/]")
