"""`antiphon keys`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from antiphon.commands.options import ConfigOption, DataOption, load
from antiphon.errors import SetupError

if TYPE_CHECKING:
    from antiphon.config.config import Config

keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of a server.")


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "unnamed",
    config: ConfigOption = None,
    data_dir: DataOption = None,
) -> None:
    """Make an API key and print it, this once: only its hash is kept.

    A running server takes it at once. Give the same --data-dir or --config as
    the server has.

    [bold]Example[/]

      export ANTIPHON_API_KEY=$(antiphon keys create "my program")
    """
    typer.echo(asyncio.run(make_key(load(config, data_dir), name)))


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
    for key in asyncio.run(read(load(config, data_dir).store_url)):
        table.add_row(key.prefix, key.name, f"{key.created:%Y-%m-%d %H:%M}", "revoked" if key.revoked else "good")
    Console(highlight=False).print(table if table.rows else "no keys yet: `antiphon keys create` makes one")


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

    if not prefix.strip():
        raise SetupError("the prefix is empty; `antiphon keys list` shows the prefixes")
    if not asyncio.run(revoke(load(config, data_dir).store_url)):
        raise SetupError(f"there is no key with the prefix {prefix.split('.')[0]}; see `antiphon keys list`")
    typer.echo(f"{prefix.split('.')[0]} is revoked")


async def make_key(config: Config, name: str) -> str:
    """Make a key in the configured database and return it."""
    from datetime import UTC, datetime

    from antiphon.api import auth
    from antiphon.store.database import Database
    from antiphon.store.keys import KeyRepository

    database = await Database.open(config.store_url)
    try:
        key, record = auth.make_key(name, now=datetime.now(UTC), creator="command line")
        await KeyRepository(database).create(record)
        return key
    finally:
        await database.close()
