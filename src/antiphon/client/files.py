"""Files that a command leaves: whether they can be written is known before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from antiphon.errors import SetupError


def writable(path: Path) -> None:
    """Make the folder of ``path`` and raise :class:`SetupError` unless a file can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from None


def write_text(path: Path, text: str) -> None:
    """Write ``text``, making the folder where there is none. Raises :class:`SetupError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> SetupError:
    """Return the line for a file of ``--out`` that cannot be written."""
    return SetupError(f"cannot write {path}: {error.strerror or error}; name another place with --out")
