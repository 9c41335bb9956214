"""Valgrind's callgrind: how it is started, told when to count, and read.

A program that runs under it tells it when to begin and when to stop by *client requests*: a few instructions that do
nothing on a processor and mean something to valgrind. C programs get them from a header; here they are five
instructions put into memory by hand, called through ctypes, so that nothing has to be compiled.

Source: ``valgrind.h`` and ``callgrind.h`` of valgrind 3.19 (the sequence for amd64 on Linux; the numbers of requests).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

MACHINES = ("x86_64", "AMD64")
MISSING = "valgrind is not installed; install it (on Debian and Ubuntu: apt-get install valgrind) and try again"
ELSEWHERE = "instructions are counted on Linux on x86-64 only; this is {system} on {machine}"

_REQUEST = bytes.fromhex(
    "4889f8"  # mov rax, rdi: where the request lies
    "4889f2"  # mov rdx, rsi: the answer where there is no valgrind
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi by 3, 13, 61, 51: back to what it was
    "4887db"  # xchg rbx, rbx: here valgrind looks
    "4889d0"  # mov rax, rdx
    "c3"
)
_RUNNING_ON_VALGRIND = 0x1001
_CALLGRIND = ord("C") << 24 | ord("T") << 16
_ZERO, _DUMP_AT, _START, _STOP = _CALLGRIND + 1, _CALLGRIND + 3, _CALLGRIND + 4, _CALLGRIND + 5


class Callgrind:
    """Tells the valgrind this program runs under what to count. Where there is none, nothing happens."""

    def __init__(self) -> None:
        # Memory that is never given back: the function is in it.
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_REQUEST)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)(address)

    def _request(self, *words: int) -> int:
        request = (ctypes.c_uint64 * 6)(*words)
        return int(self._call(ctypes.addressof(request), 0))

    @property
    def running(self) -> bool:
        """Whether there is a valgrind."""
        return self._request(_RUNNING_ON_VALGRIND) > 0

    def begin(self) -> None:
        """Count from here on."""
        self._request(_START)
        self._request(_ZERO)

    def end(self, label: str) -> None:
        """Write what was counted into a file, by that label, and count no more."""
        text = ctypes.create_string_buffer(label.encode())
        self._request(_DUMP_AT, ctypes.addressof(text))
        self._request(_STOP)


def hindrance() -> str | None:
    """Why nothing can be counted here, and what to do; ``None`` where it can."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in MACHINES:
        return ELSEWHERE.format(system=system, machine=machine)
    return None if shutil.which("valgrind") else MISSING


def command(program: Sequence[str], folder: Path) -> list[str]:
    """``program`` under callgrind, counting only when told to; each process writes into ``folder`` by its number."""
    valgrind = ["valgrind", "--tool=callgrind", "--quiet", "--cache-sim=no", "--branch-sim=no", "--instr-atstart=no"]
    return [*valgrind, f"--callgrind-out-file={folder / '%p'}", *program]


def environment(inherited: Mapping[str, str], module_path: Path) -> dict[str, str]:
    """In which counts repeat: hashes are the same each time, and BLAS has one thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    fixed = {"PYTHONHASHSEED": "0", "PYTHONPATH": str(module_path), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**inherited, **threads, **fixed}


_TRIGGER = re.compile(r"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def totals(folder: Path) -> dict[str, int]:
    """Instructions by label, of all that was written into ``folder``. What a process writes at its end has no label."""
    found: dict[str, int] = {}
    for file in sorted(folder.iterdir(), key=os.path.basename):
        text = file.read_text(errors="replace")
        label, total = _TRIGGER.search(text), _TOTALS.search(text)
        if label is not None and total is not None:
            found[label[1]] = int(total[1])
    return found
