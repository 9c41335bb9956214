"""What stands between the call and the sound devices."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from antiphon.client.sound import Loudspeaker, Microphone, devices
from antiphon.errors import SetupError


def samples(*values: int) -> bytes:
    return np.array(values, np.int16).tobytes()


def test_the_microphone_gives_what_it_heard_and_silence_after_it() -> None:
    microphone = Microphone(8_000)
    microphone.heard(samples(1, 2, 3))
    assert microphone.read(2).tolist() == [1, 2]
    assert microphone.read(2).tolist() == [3, 0]
    assert microphone.said().tolist() == [1, 2, 3, 0]


def test_a_microphone_that_runs_ahead_loses_the_oldest() -> None:
    microphone = Microphone(10)
    microphone.heard(samples(1, 2, 3, 4, 5))
    assert microphone.read(3).tolist() == [4, 5, 0]


def test_the_loudspeaker_plays_in_order_and_drops_when_told() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(samples(1, 2, 3))
    assert loudspeaker.take(4) == samples(1, 2)
    loudspeaker.clear()
    assert loudspeaker.take(4) == samples(0, 0)


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SetupError, match=r"pip install sounddevice.*--wav"), devices(48_000, 48_000):
        pass


def test_without_portaudio_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SetupError, match=r"libportaudio2.*--wav"), devices(48_000, 48_000):
        pass


@pytest.mark.parametrize(("broken", "named"), [("RawInputStream", "microphone"), ("RawOutputStream", "loudspeaker")])
@pytest.mark.parametrize("moment", ["__init__", "__enter__"])
def test_a_device_that_is_missing_is_named(
    broken: str, named: str, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PortAudioError(Exception):
        pass

    class Stream:
        def __init__(self, **_: object) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    def refuse(*_: object, **__: object) -> None:
        raise PortAudioError("Error querying device -1")

    module = ModuleType("sounddevice")
    for name in ("RawInputStream", "RawOutputStream"):
        setattr(module, name, type(name, (Stream,), {moment: refuse} if name == broken else {}))
    module.__dict__["PortAudioError"] = PortAudioError
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(SetupError, match=f"no usable {named} .*--wav"), devices(48_000, 48_000):
        pass
