"""What a stranger finds in the checkout: the files that have to be there, and nothing that must not be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_POLL_S = 0.1


def tracked() -> list[Path]:
    """Every file of the repository, as git knows them; all files outside of a clone."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return [
            path
            for folder in ("src", "tests", "docs", "benchmarks", "examples")
            for path in (ROOT / folder).rglob("*.*")
        ]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "name", ["LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", ".ci/run", "src/antiphon/py.typed"]
)
def test_the_expected_files_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0 or name.endswith("py.typed")


def test_the_ci_script_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_tests_mirror_the_source() -> None:
    rooms = {path.name for path in (ROOT / "src" / "antiphon").iterdir() if (path / "__init__.py").exists()}
    tested = {path.name for path in (ROOT / "tests").iterdir() if list(path.rglob("test_*.py"))}
    assert rooms - {"migrations"} <= tested


def test_requirements_are_pinned_and_name_no_place() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith("#") and line != "-r requirements.txt":
                assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), f"{name}: {line}"


def test_everything_the_package_needs_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    needed = {re.split(r"[\[<>=!~ ]", line)[0].lower() for line in project["dependencies"]}
    assert needed <= pinned


def test_everything_imported_is_declared() -> None:
    """What is imported comes from the standard library or a package that pyproject.toml names, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    declared = {re.split(r"[\[<>=!~ ]", line)[0].lower() for line in lines} | {"pydantic-core"}  # pydantic's own half
    distributions = {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in names}
        for module, names in packages_distributions().items()
    }
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"antiphon"}:
                assert distributions.get(module, {module}) & declared, f"{path.relative_to(ROOT)} imports {module}"


def test_no_place_of_one_machine_is_written_down() -> None:
    """No home or checkout folder and no package index: what works here has to work elsewhere."""
    forbidden = re.compile(
        r"(?<![\w.])/(?:root|work)/|\b(?:files\.)?(?:pypi|pythonhosted)\.(?:org|io)\b|find-links|index-url"
    )
    text = {".py", ".md", ".toml", ".txt", ".cfg", ".yaml", ".yml", ".ini", ""}
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.suffix in text and path != Path(__file__)
        for match in forbidden.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_tests_do_not_sleep_to_let_things_settle() -> None:
    """A test waits for what it wants to see; a fixed time is either too short or too long."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
        and isinstance(node.args[0], ast.Constant)
        and float(str(node.args[0].value)) > LONGEST_POLL_S
    ]
    assert found == []
