"""`antiphon check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from antiphon.commands.options import ConfigOption, DataOption, load
from antiphon.ending import run_stoppable

if TYPE_CHECKING:
    from antiphon.config.config import Config


def check(config: ConfigOption = None, data_dir: DataOption = None) -> None:
    """Ask every configured engine one real question, and say what it answered.

    The transcriber hears a recorded sentence, voice activity and end of turn are
    asked about it, every model answers a short question, every voice speaks a
    word; fallbacks are asked, too, each by itself. Before that the data folder is
    written to, the database opened (tables are made, as by a start) and fetched
    models are compared with their SHA-256. It can be run beside a server.
    Engines that are paid for by the request cost one request each.

    Exit status: 0 if all answered, 1 if any failed, 2 if the configuration is
    wrong.

    [bold]Examples[/]

      antiphon check

      antiphon check --config /etc/antiphon.toml
    """
    from antiphon.check.run import CheckOptions, run
    from antiphon.config import logs

    loaded = load(config, data_dir)
    logs.configure(loaded.log.model_copy(update={"level": "error"}))

    async def folder() -> str:
        return _folder(loaded)

    async def database() -> str:
        return await _database(loaded)

    looks = [("data folder", folder), ("database", database)]
    good = run_stoppable(run(CheckOptions(loaded, loaded.models_dir, looks), Console(highlight=False)))
    raise typer.Exit(0 if good else 1)


def _folder(config: Config) -> str:
    from antiphon.process.folder_lock import holder
    from antiphon.process.startup import prepare_folder

    prepare_folder(config.data_dir)
    process = holder(config.data_dir)
    return f"{config.data_dir} can be written" + ("" if process is None else f"; a server runs on it ({process})")


async def _database(config: Config) -> str:
    from antiphon.store.database import Database
    from antiphon.store.keys import KeyRepository

    database = await Database.open(config.store_url)
    try:
        count = len(await KeyRepository(database).all())
        kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    finally:
        await database.close()
    return f"{kind}, with {count} API key{'' if count == 1 else 's'}"
