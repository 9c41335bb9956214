"""The `antiphon` command.

Whatever takes long to import is imported by the command that needs it. Every error ends in one plain line on stderr:
with exit code 2 where it is the user's to mend, with 1 where a call failed that had begun. Ctrl-C ends with 130.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from antiphon import __version__
from antiphon.commands import keys
from antiphon.commands.call import call
from antiphon.commands.check import check
from antiphon.commands.options import ConfigOption, DataOption, load
from antiphon.ending import run_stoppable, run_to_the_end

if TYPE_CHECKING:
    from antiphon.config.config import Config

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(no_args_is_help=True, help="List the models that Antiphon fetches, and fetch them.")
app.add_typer(models_app, name="models")
app.add_typer(keys.keys_app, name="keys")


JUDGE = "whisper-base"
"""The model that listens to the demo's agent, whatever the server's transcriber is."""


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
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="To listen on; 0.0.0.0 is all. Default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="To listen on; 0: a free one. Default: 8000.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=64,
            help="Processes that share the work, on one port and one database: one for each core that is to serve "
            "calls. Each loads embedded models for itself. Default: 1.",
        ),
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least severity logged. Default: info.")] = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="First fetch the models that the configuration uses and that are not here.")
    ] = False,
) -> None:
    """Run the server until it is stopped (Ctrl-C, or SIGTERM).

    It is ready when GET /readyz answers 200. The API key is $ANTIPHON_API_KEY;
    else one is made at the first start and printed, once. More keys:
    antiphon keys create.

    [bold]Examples[/]

      antiphon serve

      antiphon serve --host 0.0.0.0 --port 9000 --config /etc/antiphon.toml

      antiphon serve --workers 4
    """
    loaded = load(config, data_dir, host=host, port=port, workers=workers)
    if log_level is not None:
        loaded = loaded.model_copy(update={"log": loaded.log.model_copy(update={"level": log_level.value})})
    if pull:
        _pull_used(loaded)
    if loaded.workers > 1:
        from antiphon.process.supervisor import serve as serve_with_workers

        serve_with_workers(loaded)
    else:
        from antiphon.process.server import serve as serve_alone

        serve_alone(loaded)


app.command()(call)
app.command()(check)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For caller.wav, agent.wav and call.json.")] = Path(
        "out/demo"
    ),
    config: ConfigOption = None,
) -> None:
    """Hold a spoken conversation with a server of its own, and judge it.

    Fetches the models first where they are missing. Succeeds only if every turn
    was understood and answered, and the agent's voice says what its transcript
    says.
    """
    from antiphon.demo.run import DemoOptions, run
    from antiphon.engines.protocols import Transcriber

    loaded = load(config)
    console = Console(highlight=False)
    _pull_used(loaded, JUDGE)

    async def make_key(data_dir: Path) -> str:
        return await keys.make_key(load(config, data_dir), "demo")

    @contextmanager
    def open_transcriber() -> Iterator[Transcriber]:
        from antiphon.engines.whisper import WhisperTranscriber

        with closing(WhisperTranscriber(loaded.models_dir / JUDGE)) as transcriber:
            transcriber.load()
            yield transcriber

    arguments = [] if config is None else ["--config", str(config)]
    good = run_stoppable(run(DemoOptions(out, make_key, open_transcriber, arguments), console))
    raise typer.Exit(0 if good else 1)


@app.command()
def capacity(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="For the figures as JSON, too.")] = None,
    config: ConfigOption = None,
) -> None:
    """Measure how many calls this machine carries, and of what.

    Runs each configured engine by itself, and ten real calls against a server of
    its own: about a minute. Let nothing else run meanwhile.
    """
    import os

    from antiphon.capacity.run import CapacityOptions, run

    loaded = load(config)

    async def make_key(data_dir: Path) -> str:
        return await keys.make_key(load(config, data_dir), "capacity")

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = CapacityOptions(loaded, loaded.models_dir, make_key, cores, out)
    run_stoppable(run(options, Console(highlight=False)))


@models_app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """Show every model there is to fetch, and whether it is here."""
    from antiphon.engines.needs import needed_models
    from antiphon.engines.weights import CATALOGUE, state

    loaded = load(config)
    folder, used = loaded.models_dir, needed_models(loaded)
    table = Table("name", "stage", "what", "size", "licence", "state", box=None, pad_edge=False)
    for model in CATALOGUE.values():
        size = f"{model.size / 1e6:,.1f} MB" if model.files else "with the library"
        mark = "" if model.name in used or model.installed else " (not used by the configuration)"
        table.add_row(model.name, model.stage, model.description + mark, size, model.licence, state(model.name, folder))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    console.print(f"\nin {folder}", soft_wrap=True)


@models_app.command("pull")
def pull_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to fetch. Default: those that the configuration uses.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch models, about 1.3 GB for a server without any configuration.

    Without names, those that the configuration uses: none where every engine is
    remote or has a path of its own. What is there and whole is left alone. An
    interrupted run goes on where it stopped. Every file is checked against its
    SHA-256.

    [bold]Examples[/]

      antiphon models pull

      antiphon models pull qwen2.5-0.5b
    """
    from antiphon.engines.needs import needed_models

    loaded, console = load(config), Console(highlight=False)
    if wanted := names or list(needed_models(loaded)):
        _pull(wanted, loaded.models_dir, console)
    else:
        console.print("Nothing to fetch: the configuration uses none of these models.")


def _pull_used(config: Config, *more: str) -> None:
    """Fetch what the configuration uses, and ``more``; say nothing where all is there."""
    from antiphon.engines.needs import needed_models

    names = list(dict.fromkeys((*needed_models(config), *more)))
    _pull(names, config.models_dir, Console(highlight=False), say_ready=False)


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
