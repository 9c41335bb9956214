"""`antiphon call`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console


def call(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="A joinUrl. Without one, a call is created.")] = None,
    server: Annotated[
        str,
        typer.Option(metavar="URL", envvar="ANTIPHON_URL", help="Where to create the call, such as localhost:8000."),
    ] = "http://127.0.0.1:8000",
    key: Annotated[
        str,
        typer.Option(
            metavar="KEY", envvar="ANTIPHON_API_KEY", help="API key of that server; `antiphon keys create` makes one."
        ),
    ] = "",
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="System prompt: who the agent is.")] = (
        "You are a friendly voice assistant. Answer in one or two short sentences."
    ),
    voice: Annotated[str | None, typer.Option(metavar="NAME", help="A voice, by name or id.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="A model.")] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", help="Language of the call, such as en or de-DE.")
    ] = None,
    agent_first: Annotated[
        bool, typer.Option("--agent-first", help="Let the agent greet. Default: you begin.")
    ] = False,
    wav: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Recording to speak: WAV, FLAC, OGG or MP3. May be given again. Without any: the microphone.",
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="HZ", min=8000, max=48000, help="Sample rate, both ways. Default: the first recording's, or 48000."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For caller.wav and agent.wav.")] = Path("out/call"),
) -> None:
    """Hold a call from recordings or the microphone, and print it.

    Ctrl-C hangs up. Both sides of the call are left in the folder of --out.

    [bold]Examples[/]

      antiphon call --wav examples/question.wav --prompt "You are a pirate."

      antiphon call --server localhost:9000 --agent-first

      antiphon call "ws://127.0.0.1:8000/..." --wav examples/question.wav
    """
    from antiphon.client.conversation import CallOptions, hold

    given = {"systemPrompt": prompt, "voice": voice, "model": model, "languageHint": language}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    body["firstSpeakerSettings"] = {"agent": {}} if agent_first else {"user": {}}
    options = CallOptions(url, server, key, body, tuple(wav or ()), rate, out)
    raise typer.Exit(asyncio.run(hold(options, Console(highlight=False))))
