"""A command under strace: what it sent to other machines, and where it wrote."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HOW_TO = "no strace: install the Debian package `strace`"

_NETWORK = "connect,sendto,sendmsg,sendmmsg"
_WRITING = (
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "link,linkat,symlink,symlinkat,truncate,chmod,fchmodat,mknod,mknodat"
)
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_ADDRESS = re.compile(r"sa_family=(AF_\w+).*?(?:sin6?_port=htons\((\d+)\)).*?\"([0-9a-fA-F.:]+)\"")
_PATH = re.compile(r"(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?\"([^\"]*)\"")
_LOOPBACK = ("127.", "::1", "::ffff:127.")


@dataclass(frozen=True, slots=True)
class Trace:
    """What strace wrote of a process and its children."""

    lines: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> Trace:
        return cls(tuple(file.read_text(errors="replace").splitlines()))

    def reached(self) -> set[str]:
        """``address:port`` of all that was asked and is not this machine, or is a name server."""
        found = set()
        for line in self.lines:
            address = _ADDRESS.search(line)
            if address is not None and "bind(" not in line:
                _, port, host = address.groups()
                if port == "53" or not host.startswith(_LOOPBACK):
                    found.add(f"{host}:{port}")
        return found

    def wrote(self) -> set[Path]:
        """Every path that was opened for writing, made, renamed, removed or changed, successfully."""
        found: set[Path] = set()
        for line in self.lines:
            call = re.search(r"\b(\w+)\(", line)
            if call is None or call[1] not in _WRITING.split(",") or " = -1 " in line:
                continue
            if call[1] in ("open", "openat") and not _WRITES.search(line):
                continue
            for _, folder, name in _PATH.findall(line):
                found.add(Path(os.path.normpath(os.path.join(folder, name))))
        return found


def traceable() -> bool:
    """Whether there is an strace."""
    return shutil.which("strace") is not None


async def traced(
    file: Path, *arguments: str | Path, environment: dict[str, str], log: Path
) -> asyncio.subprocess.Process:
    """Start ``antiphon`` with these arguments and nothing else of the environment; ``file`` gets what it does.

    The process is the command's own: strace runs beside it.
    """
    strace = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "300", "-o", str(file))
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(*strace, "-e", f"trace={_NETWORK},{_WRITING}", sys.executable, "-m", "antiphon.cli", *arguments),
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
