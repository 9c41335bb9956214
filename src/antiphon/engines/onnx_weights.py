"""The weights in an ONNX file, as arrays: for a network that we compute ourselves.

Source: ``onnx.proto`` of the ONNX project (fields ``ModelProto.graph``, ``GraphProto.initializer``, ``TensorProto``),
and the wire format of protocol buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors that the file's graph begins with, by name. Raises ``ValueError``, ``OSError``."""
    weights: dict[str, NDArray[np.float32]] = {}
    for graph in _parts(memoryview(path.read_bytes()), _GRAPH):
        for tensor in _parts(graph, _INITIALIZER):
            if (found := _tensor(tensor)) is not None:
                weights[found[0]] = found[1]
    if not weights:
        raise ValueError("there are no weights in it")
    return weights


def _tensor(data: memoryview) -> tuple[str, NDArray[np.float32]] | None:
    """Its name and its values; None where they are no float32."""
    name, kind, raw = "", 0, memoryview(b"")
    shape: list[int] = []
    for field, value in _fields(data):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif field == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif field == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif field == _RAW_DATA and isinstance(value, memoryview):
            raw = value
    if kind != _FLOAT:
        return None
    if len(raw) != 4 * prod(shape):
        raise ValueError(f"{name} has {len(raw)} bytes of raw data, which is not what its shape {shape} takes")
    # A copy: where they lie in the file they are not aligned, and would keep all of it.
    return name, np.array(np.frombuffer(raw, "<f4"), np.float32).reshape(shape)


def _parts(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The messages in one field of a message."""
    for field, value in _fields(data):
        if field == wanted and isinstance(value, memoryview):
            yield value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        match key & 7:
            case 0:  # a varint
                number, place = _varint(data, place)
                yield key >> 3, number
                continue
            case 1:  # eight bytes
                length = 8
            case 2:  # that many bytes
                length, place = _varint(data, place)
            case 5:  # four bytes
                length = 4
            case other:
                raise ValueError(f"it is no ONNX file: wire type {other} at byte {place}")
        if place + length > len(data):
            raise ValueError("it is no ONNX file, or it is cut short")
        yield key >> 3, data[place : place + length]
        place += length


def _varints(data: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        numbers.append(number)
    return numbers


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(data):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            break
    raise ValueError("it is no ONNX file, or it is cut short")
