"""The `antiphon` command.

Whatever takes long to import is imported by the command that needs it. Every error ends in one plain line on stderr:
with exit code 2 where it is the user's to mend, with 1 where a call failed that had begun. Ctrl-C ends with 130.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from antiphon import __version__
from antiphon.ending import run_stoppable, run_to_the_end
from antiphon.errors import SetupError

if TYPE_CHECKING:
    from antiphon.server.config import Config

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(
    no_args_is_help=True, help="The models that Antiphon fetches: which there are, and fetching them."
)
keys_app = typer.Typer(no_args_is_help=True, help="The API keys of a server: making, listing and revoking them.")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file. Default: $ANTIPHON_CONFIG, or antiphon.toml in this folder."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the database and the recordings, made where there is none.")
]


class LogLevel(StrEnum):
    """What `--log-level` takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def main() -> None:
    """Run the command line; errors of ours are one line."""
    run_to_the_end(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"antiphon {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Begin with [bold]antiphon demo[/], or with [bold]antiphon models pull[/] and [bold]antiphon serve[/]."
)
def common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """A self-hosted server for spoken conversations with AI agents."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port. Default: 8000; 0 takes a free one.")] = None,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Processes that share the work, on one port and one database: one for each core that is to serve "
            "calls. Each loads embedded models for itself. Default: 1.",
        ),
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least severity written. Default: info.")] = None,
) -> None:
    """Run the server until it is stopped (Ctrl-C, or SIGTERM).

    It is ready when GET /readyz answers 200. The API key is $ANTIPHON_API_KEY; else one is made at the
    first start and printed, once.

    [bold]Examples[/]

      antiphon serve

      antiphon serve --host 0.0.0.0 --port 80 --data-dir /var/lib/antiphon --config /etc/antiphon.toml

      antiphon serve --workers 4
    """
    loaded = _load(config, data_dir, host=host, port=port, workers=workers)
    if log_level is not None:
        loaded = loaded.model_copy(update={"log": loaded.log.model_copy(update={"level": log_level.value})})
    if loaded.workers > 1:
        from antiphon.server.front import serve as serve_with_workers

        serve_with_workers(loaded)
    else:
        from antiphon.server.run import serve as serve_alone

        serve_alone(loaded)


@app.command()
def call(
    url: Annotated[str | None, typer.Argument(help="A joinUrl. Without one, a call is created.")] = None,
    server: Annotated[
        str, typer.Option(envvar="ANTIPHON_URL", help="Where to create the call, such as localhost:8000.")
    ] = "http://127.0.0.1:8000",
    key: Annotated[str, typer.Option(envvar="ANTIPHON_API_KEY", help="API key of that server.")] = "",
    prompt: Annotated[str, typer.Option(help="System prompt: who the agent is.")] = (
        "You are a friendly voice assistant. Answer in one or two short sentences."
    ),
    voice: Annotated[str | None, typer.Option(help="Name or id of a voice.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the call, such as en or de-DE.")] = None,
    agent_first: Annotated[
        bool, typer.Option("--agent-first", help="Let the agent greet. Default: you begin.")
    ] = False,
    wav: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recording to speak, WAV, FLAC, OGG or MP3; may be given again. Without any: the microphone."
        ),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=8000, max=48000, help="Hz, both ways. Default: the first WAV's; 48000 live.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for caller.wav and agent.wav.")] = Path("out/call"),
) -> None:
    """Hold a call, from WAV files or the microphone, and print it while it happens.

    [bold]Examples[/]

      antiphon call --prompt "You are a pirate."

      antiphon call --wav question.wav --wav thanks.wav --voice Mark

      antiphon call "ws://127.0.0.1:8000/..." --wav question.wav --rate 16000
    """
    from antiphon.client.conversation import CallOptions, hold

    given = {"systemPrompt": prompt, "voice": voice, "model": model, "languageHint": language}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    body["firstSpeakerSettings"] = {"agent": {}} if agent_first else {"user": {}}
    options = CallOptions(url, server, key, body, tuple(wav or ()), rate, out)
    raise typer.Exit(asyncio.run(hold(options, Console(highlight=False))))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for caller.wav, agent.wav and call.json.")] = Path("out/demo"),
    config: ConfigOption = None,
) -> None:
    """Hold a spoken conversation with a server of its own, and say how quick and how true it was.

    Fetches the models first where they are missing. Succeeds only if every turn was understood and answered, and the
    agent's voice says what its transcript says.
    """
    from antiphon.demo.run import DemoOptions, run
    from antiphon.engines.protocols import Transcriber
    from antiphon.engines.weights import DEFAULT_MODELS

    loaded = _load(config)
    console = Console(highlight=False)
    _pull(list(DEFAULT_MODELS), loaded.models_dir, console, say_ready=False)

    async def make_key(data_dir: Path) -> str:
        return await _create_key(_load(config, data_dir), "demo")

    @contextmanager
    def open_transcriber() -> Iterator[Transcriber]:
        from antiphon.engines.whisper import WhisperTranscriber

        with closing(WhisperTranscriber(loaded.models_dir / "whisper-base")) as transcriber:
            transcriber.load()
            yield transcriber

    arguments = [] if config is None else ["--config", str(config)]
    good = run_stoppable(run(DemoOptions(out, make_key, open_transcriber, arguments), console))
    raise typer.Exit(0 if good else 1)


@app.command()
def capacity(
    out: Annotated[Path | None, typer.Option(help="File for the figures as JSON, too.")] = None,
    config: ConfigOption = None,
) -> None:
    """Measure how many calls this machine carries, and of what.

    Runs each configured engine by itself, and ten real calls against a server of its own: about a minute. Let nothing
    else run meanwhile.
    """
    import os

    from antiphon.capacity.run import CapacityOptions, run

    loaded = _load(config)

    async def make_key(data_dir: Path) -> str:
        return await _create_key(_load(config, data_dir), "capacity")

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = CapacityOptions(loaded, loaded.models_dir, make_key, cores, out)
    run_stoppable(run(options, Console(highlight=False)))


@models_app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """Show every model there is to fetch, and whether it is here."""
    from antiphon.engines.weights import CATALOGUE, DEFAULT_MODELS, state

    folder = _load(config).models_dir
    table = Table("name", "stage", "what", "size", "licence", "state", box=None, pad_edge=False)
    for model in CATALOGUE.values():
        size = f"{model.size / 1e6:,.1f} MB" if model.files else "with the library"
        mark = "" if model.name in DEFAULT_MODELS or model.installed else " (not needed by default)"
        table.add_row(model.name, model.stage, model.description + mark, size, model.licence, state(model.name, folder))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    console.print(f"\nin {folder}", soft_wrap=True)


@models_app.command("pull")
def pull_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models to fetch. Default: those a server needs.")] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch models, about 1.3 GB for the default ones. What is there and whole is left alone.

    An interrupted run goes on where it stopped. Every file is checked against its SHA-256.

    [bold]Examples[/]

      antiphon models pull

      antiphon models pull qwen2.5-0.5b
    """
    from antiphon.engines.weights import DEFAULT_MODELS

    _pull(names or list(DEFAULT_MODELS), _load(config).models_dir, Console(highlight=False))


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "unnamed",
    config: ConfigOption = None,
    data_dir: DataOption = None,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    typer.echo(asyncio.run(_create_key(_load(config, data_dir), name)))


@keys_app.command("list")
def list_keys(config: ConfigOption = None, data_dir: DataOption = None) -> None:
    """Show all API keys by their prefix, the newest first."""
    from antiphon.store.database import Database
    from antiphon.store.keys import KeyRepository
    from antiphon.store.records import ApiKeyRecord

    async def read(url: str) -> tuple[ApiKeyRecord, ...]:
        database = await Database.open(url)
        try:
            return await KeyRepository(database).all()
        finally:
            await database.close()

    table = Table("prefix", "name", "created", "state", box=None, pad_edge=False)
    for key in asyncio.run(read(_load(config, data_dir).store_url)):
        table.add_row(key.prefix, key.name, f"{key.created:%Y-%m-%d %H:%M}", "revoked" if key.revoked else "good")
    Console(highlight=False).print(table)


@keys_app.command("revoke")
def revoke_key(
    prefix: Annotated[str, typer.Argument(help="The key's prefix: what stands before its dot.")],
    config: ConfigOption = None,
    data_dir: DataOption = None,
) -> None:
    """Revoke an API key for good. A running server notices within seconds."""
    from antiphon.store.database import Database
    from antiphon.store.keys import KeyRepository

    async def revoke(url: str) -> bool:
        database = await Database.open(url)
        try:
            return await KeyRepository(database).revoke(prefix.split(".")[0])
        finally:
            await database.close()

    if not asyncio.run(revoke(_load(config, data_dir).store_url)):
        raise SetupError(f"there is no key with the prefix {prefix.split('.')[0]}; see `antiphon keys list`")
    typer.echo(f"{prefix.split('.')[0]} is revoked")


async def _create_key(config: Config, name: str) -> str:
    from datetime import UTC, datetime

    from antiphon.server.auth import make_key
    from antiphon.store.database import Database
    from antiphon.store.keys import KeyRepository

    database = await Database.open(config.store_url)
    try:
        key, record = make_key(name, now=datetime.now(UTC), creator="command line")
        await KeyRepository(database).create(record)
        return key
    finally:
        await database.close()


def _load(file: Path | None, data_dir: Path | None = None, **overrides: Any) -> Config:
    from antiphon.server.config import load_config

    return load_config(file, {**overrides, "data_dir": data_dir})


def _pull(names: list[str], folder: Path, console: Console, *, say_ready: bool = True) -> None:
    """Fetch with a bar for each model: bytes so far, bytes in all, speed, time left."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from antiphon.engines.weights import Pulled, State, lookup, pull, state

    missing = [name for name in names if state(lookup(name).name, folder) is not State.READY]
    columns = (TextColumn("{task.description:14} {task.fields[step]:11}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, disable=not missing)
    with bar as progress:
        bars = {
            name: progress.add_task(name, total=lookup(name).download_size or None, step="waiting") for name in missing
        }

        def show(pulled: Pulled) -> None:
            progress.update(
                bars[pulled.model.name], completed=pulled.done, total=pulled.total or None, step=pulled.step.value
            )

        pull(missing, folder, show)
    if say_ready:
        console.print(f"{', '.join(names)}: ready in {folder}", soft_wrap=True)


if __name__ == "__main__":
    main()
