"""The documentation says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from antiphon.config.config import load_config
from antiphon.engines.weights import CATALOGUE, DEFAULT_MODELS
from tests.support.configuration_page import BEGIN, PAGE, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown(path: Path) -> str:
    return path.name


def test_the_configuration_page_lists_every_key_and_nothing_else() -> None:
    written = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].strip()
    assert written == reference().strip(), "make it anew: python -m tests.support.configuration_page"


@pytest.mark.parametrize("number", range(3))
def test_the_configuration_examples_are_taken(number: int, tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    file = tmp_path / "antiphon.toml"
    file.write_text(examples[number], encoding="utf-8")
    assert load_config(file, environment={}).models.keys() == tomllib.loads(examples[number])["models"].keys()


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert used <= targets


def test_every_model_is_listed_with_its_package() -> None:
    rows = {
        match[1]: match[0]
        for match in re.finditer(r"^\| `([a-z0-9.-]+)` \|.*$", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE)
    }
    assert rows.keys() == CATALOGUE.keys()
    for name, row in rows.items():
        model = CATALOGUE[name]
        assert ("not fetched by default" in row) == (name not in DEFAULT_MODELS and model.installed is None)
        for wheel in model.wheels:
            assert re.sub(r"-part\d+$", "", wheel.name) in row
            assert wheel.version in row
