"""Rules about the source itself that no linter knows."""

import re
from pathlib import Path

import pytest

from fhir_server.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "fhir_server").rglob("*.py"))
HARD_LIMIT = 500
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short_and_well_named(path: Path) -> None:
    """No module is longer than 500 lines, and each says in a word what it is about."""
    assert len(path.read_text("utf-8").splitlines()) <= HARD_LIMIT
    names = set(path.relative_to(ROOT).with_suffix("").parts)
    assert not names & EMPTY_NAMES


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_setting_is_documented(name: str) -> None:
    """The reference page names every setting."""
    page = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    assert f"`{PREFIX}{name.upper()}`" in page


def test_no_module_docstring_is_left_open() -> None:
    """Every module says what it is for."""
    unfinished = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if re.match(r'"""(TODO|FIXME|XXX)\b', path.read_text("utf-8"))
    ]
    assert unfinished == []


def test_layers_are_complete() -> None:
    """Every top-level module has its place among the layers."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    layers = text.split("layers = [")[1].split("]")[0]
    named = set(re.findall(r"[a-z_]+", layers))
    found = {path.stem for path in (ROOT / "fhir_server").iterdir() if path.suffix == ".py"}
    found |= {path.parent.name for path in (ROOT / "fhir_server").glob("*/__init__.py")}
    assert found - {"__init__"} == named
