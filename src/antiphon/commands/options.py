"""What several commands take, and the configuration that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from antiphon.config.config import Config

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration. Default: $ANTIPHON_CONFIG, or antiphon.toml in this folder."
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="FOLDER", help="For the database and the recordings; made where there is none."),
]


def load(file: Path | None, data_dir: Path | None = None, **overrides: Any) -> Config:
    """Read the configuration. Options of the command line win; those that are ``None`` were not given."""
    from antiphon.config.config import load_config

    return load_config(file, {**overrides, "data_dir": data_dir})
