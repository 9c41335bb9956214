"""The rules of the house: who may know whom. See docs/architecture.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "antiphon"

KNOWS: dict[str, set[str]] = {
    "errors": set(),
    "pause": set(),
    "metrics": {"call"},
    "audio": {"errors"},
    "call": set(),
    "engines": {"audio", "call", "errors"},
    "tools": {"call", "errors"},
    "wire": {"call", "errors", "tools"},
    "media": {"audio", "errors"},
    "store": {"call", "errors", "pause"},
    "work": {"errors", "store"},
    "session": {"audio", "call", "engines", "errors", "media", "metrics", "tools", "wire"},
    "client": {"errors"},
    "demo": {"client", "engines", "errors"},
    "capacity": {"audio", "call", "client", "demo", "engines", "errors"},
    "ending": {"engines", "errors"},
    "check": {"audio", "call", "client", "engines", "errors"},
    "commands": {"api", "check", "client", "config", "ending", "errors", "process", "store"},
    "__main__": {"cli"},
    "testing": {"audio", "call", "engines", "media", "session", "wire"},
    "cli": {
        "api",
        "capacity",
        "client",
        "commands",
        "config",
        "demo",
        "ending",
        "engines",
        "errors",
        "process",
        "store",
    },
    "lifecycle": {"audio", "call", "engines", "errors", "media", "metrics", "session", "store", "tools", "wire"},
    "config": {"call", "engines", "errors", "lifecycle"},
    "api": {
        "audio",
        "call",
        "config",
        "engines",
        "errors",
        "lifecycle",
        "media",
        "metrics",
        "pause",
        "store",
        "tools",
        "wire",
    },
    "process": {"api", "config", "engines", "errors", "lifecycle", "media", "metrics", "session", "store", "tools"},
}
"""Each room and the rooms it may import from, beside itself. The version is everybody's."""

PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq", "itertools"),
    *("math", "operator", "re", "statistics", "string", "types", "typing", "unicodedata"),
}
"""What the core may import of the standard library: nothing here does I/O or knows the time."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
LONGEST_FILE = 400


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """Every module that ``path`` imports; ``at_import_only``: neither in functions nor for the type checker alone."""
    for node in _nodes(tree(path), everywhere=not at_import_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else node.module


def _nodes(node: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        if everywhere or not later:
            yield from _nodes(child, everywhere=everywhere)


def room(module: str) -> str:
    """``antiphon.call.speaking.reply`` is in the room ``call``; the package itself is in ``""``."""
    return [*module.split("."), ""][1]


def shown(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_room_knows_only_the_rooms_it_may_know(path: Path) -> None:
    own = room(module_name(path))
    known = {room(name) for name in imports(path) if name.split(".")[0] == "antiphon"}
    assert known - {own, ""} <= KNOWS[own]


@pytest.mark.parametrize("path", sorted((PACKAGE / "call").rglob("*.py")), ids=shown)
def test_the_core_is_pure(path: Path) -> None:
    outside = {name for name in imports(path) if not name.startswith("antiphon.call")}
    assert {name.split(".")[0] for name in outside} <= PURE


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_only_the_configuration_reads_the_environment(path: Path) -> None:
    if path == PACKAGE / "config" / "config.py":
        return
    reading = {"environ", "environb", "getenv", "getenvb"}
    found = [
        node.lineno
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in reading)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and reading & {a.name for a in node.names})
    ]
    assert found == []


def test_there_are_no_import_circles() -> None:
    """Every module can be put after all those it imports while it is loaded."""
    waiting = {
        name: {other for other in imports(path, at_import_only=True) if other in NAMES and other != name}
        for name, path in NAMES.items()
    }
    while free := {name for name, others in waiting.items() if not others}:
        waiting = {name: others - free for name, others in waiting.items() if name not in free}
    assert waiting == {}


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_file_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) < LONGEST_FILE


def test_nothing_brings_torch() -> None:
    heavy = {"torch", "torchaudio", "transformers", "tensorflow"}
    assert not heavy & {name.split(".")[0] for path in MODULES for name in imports(path)}
    pinned = (SOURCE.parent / "requirements-dev.txt").read_text() + (SOURCE.parent / "requirements.txt").read_text()
    assert not heavy & {line.split("==")[0] for line in pinned.splitlines()}


def test_the_commands_import_nothing_heavy_until_they_run() -> None:
    """``antiphon --help`` answers at once: what takes time to import is imported by the command that needs it."""
    light = {"__future__", "typer", "rich", "antiphon", *sys.stdlib_module_names}
    for path in (PACKAGE / "cli.py", *(PACKAGE / "commands").glob("*.py")):
        found = set(imports(path, at_import_only=True))
        assert {name.split(".")[0] for name in found} <= light
        own = {name for name in found if name.startswith("antiphon.") and room(name) != "commands"}
        assert own <= {"antiphon.errors", "antiphon.ending"}
    for name in ("antiphon.ending", "antiphon.engines.threads"):
        assert {module.split(".")[0] for module in imports(NAMES[name])} <= {"antiphon", *sys.stdlib_module_names}
