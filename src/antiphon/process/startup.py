"""What every way to start a server does first, and what it says then. Imports nothing that takes long."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from antiphon.config.config import Config
from antiphon.errors import DataFolderError
from antiphon.process.folder_lock import locked

EXAMPLE_BODY = (
    '{"systemPrompt": "You are a friendly assistant. Answer in one or two short sentences.", '
    '"medium": {"serverWebSocket": {"inputSampleRate": 48000}}}'
)


@contextlib.contextmanager
def data_folder(config: Config) -> Iterator[tuple[int, ...]]:
    """Make the data folder and keep other servers away from it, and from the database where that is a file elsewhere.

    Gives the descriptors that hold the folder, to be handed down to workers. Raises :class:`DataFolderError`.
    """
    prepare_folder(config.data_dir)
    with locked(config.data_dir, config.database_file) as descriptors:
        yield descriptors


def prepare_folder(folder: Path) -> None:
    """Make the data folder, for its owner only. Raises :class:`DataFolderError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise DataFolderError(f"cannot write {folder}: {error.strerror}; choose another --data-dir") from None


def say(greeting: str) -> None:
    """Print it, though output may go to a file."""
    sys.stdout.write(greeting + "\n")
    sys.stdout.flush()


def greeting(url: str, first_key: str | None) -> str:
    """What a person who started the server needs next. Only said once calls can be served."""
    lines = [f"Antiphon is ready and listens on {url}"]
    if first_key is not None:
        lines += ["", f"API key, shown this once: {first_key}"]
    else:
        lines += ["", "A new API key: export ANTIPHON_API_KEY=$(antiphon keys create)"]
    lines += [
        "",
        "Create a call:",
        f"  curl -X POST {url}/api/calls \\",
        f"    -H 'X-API-Key: {first_key}' \\" if first_key else '    -H "X-API-Key: $ANTIPHON_API_KEY" \\',
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{EXAMPLE_BODY}'",
    ]
    return "\n".join(lines)
