"""The kernel's own cost of a call's packets, over loopback TCP: what no server can go below.

python -m load.kernel CORE    (prints microseconds of processor time for one packet taken, and for one sent)
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable

TAKEN_BYTES = 8 + 640
"""20 ms of 16 kHz in a client's WebSocket frame."""

SENT_BYTES = 4 + 960
"""20 ms of 24 kHz in a server's."""

_IN_A_ROW = 40
_ROUNDS = 500


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as near:
        far, _ = listening.accept()
        with far:
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            json.dump({"taken_us": _taken_us(near, far), "sent_us": _sent_us(near, far)}, sys.stdout)


def _taken_us(near: socket.socket, far: socket.socket) -> float:
    descriptor, packet = near.fileno(), bytes(TAKEN_BYTES)
    return _cost_us(lambda: far.sendall(packet), lambda: os.read(descriptor, TAKEN_BYTES), counted=1)


def _sent_us(near: socket.socket, far: socket.socket) -> float:
    descriptor, packet = near.fileno(), bytes(SENT_BYTES)
    return _cost_us(lambda: os.write(descriptor, packet), lambda: far.recv(SENT_BYTES, socket.MSG_WAITALL), counted=0)


def _cost_us(send: Callable[[], object], take: Callable[[], object], counted: int) -> float:
    """Of ``send`` (0) or ``take`` (1), as many of one after as many of the other."""
    spent = [0, 0]
    for _ in range(_ROUNDS):
        for number, work in enumerate((send, take)):
            began = time.process_time_ns()
            for _ in range(_IN_A_ROW):
                work()
            spent[number] += time.process_time_ns() - began
    return spent[counted] / (_ROUNDS * _IN_A_ROW) / 1000


if __name__ == "__main__":
    main()
