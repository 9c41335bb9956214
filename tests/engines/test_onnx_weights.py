"""Tensors in ONNX files: those of a real one, and files written by hand."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.engines.onnx_weights import read_weights
from antiphon.engines.silero import SileroVoiceActivity
from antiphon.errors import EngineError
from tests.engines.speech import fetched

FLOAT, INT64 = 1, 7
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3) / 7


def varint(number: int) -> bytes:
    """As protocol buffers write it; negative numbers as ten bytes."""
    number &= (1 << 64) - 1
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def dims(*shape: int) -> bytes:
    return b"".join(number(1, size) for size in shape)


def tensor(shape: bytes, values: bytes, name: str = "weights", kind: int = FLOAT) -> bytes:
    """A ``TensorProto``; ``values`` as fields."""
    return shape + number(2, kind) + part(8, name.encode()) + values


def model(*tensors: bytes) -> bytes:
    """A ``ModelProto`` with things around what is read: a version, a producer, a name of the graph, odd fields."""
    graph = part(2, b"a graph") + b"".join(part(5, one) for one in tensors)
    around = varint(90 << 3 | 5) + bytes(4) + varint(91 << 3 | 1) + bytes(8)
    return number(1, 8) + part(2, b"somebody") + around + part(7, graph) + part(8, b"an opset")


RAW = part(9, VALUES.astype("<f4").tobytes())
WHOLE = model(tensor(dims(2, 3), RAW))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.onnx"


@pytest.mark.parametrize("shape", [dims(2, 3), part(1, varint(2) + varint(3)), part(1, varint(2)) + number(1, 3)])
def test_dimensions_may_come_packed_or_one_by_one(file: Path, shape: bytes) -> None:
    file.write_bytes(model(tensor(shape, RAW)))
    np.testing.assert_array_equal(read_weights(file)["weights"], VALUES)


def test_all_tensors_are_found_by_name_and_those_of_other_kinds_left_out(file: Path) -> None:
    other = tensor(dims(1), part(9, struct.pack("<q", 5)), "steps", INT64)
    scalar = tensor(b"", part(9, struct.pack("<f", 0.5)), "scale")
    file.write_bytes(model(other, tensor(dims(2, 3), RAW, "first"), scalar, tensor(dims(6), RAW, "größe")))
    found = read_weights(file)
    assert {name: values.shape for name, values in found.items()} == {"first": (2, 3), "scale": (), "größe": (6,)}
    assert found["scale"] == 0.5


def test_values_are_aligned_and_hold_no_file(file: Path) -> None:
    file.write_bytes(model(*(tensor(dims(2, 3), RAW, "x" * length) for length in range(1, 5))))
    for values in read_weights(file).values():
        assert values.flags.aligned
        assert values.dtype == np.float32
        whole = values if values.base is None else values.base
        assert isinstance(whole, np.ndarray)
        assert whole.nbytes == VALUES.nbytes


UNFIT = {
    "values as numbers": tensor(dims(2, 3), part(4, VALUES.astype("<f4").tobytes())),
    "values in another file": tensor(dims(2, 3), number(14, 1)),
    "one value too few": tensor(dims(2, 3), part(9, bytes(20))),
    "one byte too much": tensor(dims(2, 3), part(9, bytes(25))),
    "a negative dimension": tensor(dims(-2, 3), RAW),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_tensor_whose_values_do_not_fit_is_an_error_by_name(file: Path, what: str) -> None:
    file.write_bytes(model(tensor(dims(2, 3), RAW, "good"), UNFIT[what]))
    with pytest.raises(ValueError, match=r"^weights has \d+ bytes of raw data"):
        read_weights(file)


BAD = {
    "nothing": (b"", "no weights"),
    "no graph": (number(1, 8), "no weights"),
    "no tensors": (model(), "no weights"),
    "text": (b"not a model", "no ONNX file"),
    "a web page": (b"<!DOCTYPE html><html>", "no ONNX file"),
    "a pointer to the file": (b"version https://git-lfs.github.com/spec/v1\n", "no ONNX file"),
    "a group": (number(1, 8) + varint(7 << 3 | 3), "wire type 3 at byte"),
    "a number without an end": (varint(1 << 3) + b"\xff" * 11 + b"\x01" + WHOLE, "no ONNX file"),
    "an endless length": (varint(7 << 3 | 2) + varint(1 << 62) + WHOLE, "cut short"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_network_is_an_error_that_says_so(file: Path, what: str) -> None:
    content, says = BAD[what]
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_weights(file)
    with pytest.raises(EngineError, match=rf"Silero VAD cannot be loaded from {file}: .*{says}"):
        SileroVoiceActivity(file).load()


def test_a_file_that_is_cut_short_anywhere_is_an_error(file: Path) -> None:
    end_of_graph = WHOLE.index(part(8, b"an opset"))
    for length in range(end_of_graph):
        file.write_bytes(WHOLE[:length])
        with pytest.raises(ValueError, match=r"no ONNX file|no weights"):
            read_weights(file)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_is_an_error_of_its_own_kind(damage: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, byte in damage:
        content[place] = byte
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(ValueError):
            read_weights(Path(file.name))


def test_a_file_that_is_not_there_is_an_error_of_the_engine(file: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot be loaded from .*No such file"):
        SileroVoiceActivity(file).load()


def test_a_network_of_another_make_is_an_error_that_names_what_is_missing(file: Path) -> None:
    file.write_bytes(WHOLE)
    with pytest.raises(EngineError, match=r"cannot be loaded from .*no 'model\.stft\.forward_basis_buffer'"):
        SileroVoiceActivity(file).load()


@pytest.mark.models
def test_the_real_file_has_the_tensors_that_the_runtime_sees() -> None:
    """It gives back what is an output; two messages after each other are one, so all tensors can become outputs."""
    path = fetched("silero-vad")
    weights = read_weights(path)
    a_float_tensor = part(2, part(1, number(1, FLOAT)))
    outputs = b"".join(part(12, part(1, name.encode()) + a_float_tensor) for name in weights)
    session = onnxruntime.InferenceSession(path.read_bytes() + part(7, outputs), providers=["CPUExecutionProvider"])
    sound = {"input": np.zeros((1, 576), np.float32), "state": np.zeros((2, 1, 128), np.float32)}
    seen = session.run(list(weights), {**sound, "sr": np.array(16_000)})
    assert sum(values.size for values in seen) > 300_000
    for name, values in zip(weights, seen, strict=True):
        np.testing.assert_array_equal(weights[name], values, err_msg=name)
