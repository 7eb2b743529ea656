"""Sizes, versions and text that must not slip into the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sfu_core.version import VERSION

from .tree import PACKAGES, ROOT, project_files, sources

PYTHON_LINES, TEST_LINES, CYTHON_LINES = 400, 500, 600
TEXT = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".md", ".toml", ".sh", ".js", ".json", ".html", ".cfg", ".in", ""}
# Written so that this file does not contain what it looks for.
MACHINE_PATH = re.compile("|".join(f"/{name}/" for name in ("work", "root", "home", "Users")))
FOREIGN_REGISTRY = re.compile(r'"resolved": "(?!https://registry\.npmjs\.org/)')


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(".py", *PACKAGES, "tests", "benchmarks", "scripts", "examples"), ids=relative)
def test_python_files_are_short(path: Path) -> None:
    limit = TEST_LINES if relative(path).startswith("tests/") else PYTHON_LINES
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", sources(".pyx", *PACKAGES) + sources(".pxd", *PACKAGES), ids=relative)
def test_cython_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= CYTHON_LINES


@pytest.mark.parametrize("path", sources(".py", *PACKAGES) + sources(".pyx", *PACKAGES), ids=relative)
def test_modules_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert not text or text.lstrip().startswith('"""')


def test_no_machine_paths() -> None:
    for path in project_files():
        if path.suffix in TEXT:
            text = path.read_text(errors="replace")
            assert not (found := MACHINE_PATH.search(text)), f"{relative(path)}: {found[0] if found else ''}"
            assert path.suffix != ".json" or not FOREIGN_REGISTRY.search(text), relative(path)


def test_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    repeated = [relative(p) for p in sources(".py", *PACKAGES) if f'"{VERSION}"' in p.read_text()]
    assert repeated == ["sfu_core/version.py"]


def test_changelog_begins_with_unreleased() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0] == "## Unreleased"


def test_dependencies_are_what_is_imported() -> None:
    """Nothing is installed for nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = {"pyopenssl": "OpenSSL"}
    text = "\n".join(path.read_text() for path in sources(".py", *PACKAGES) + sources(".pyx", *PACKAGES))
    for requirement in project["dependencies"]:
        name = re.match(r"[\w-]+", requirement)
        assert name
        imported = module.get(name[0].lower(), name[0])
        assert re.search(rf"^\s*(?:import|from) {imported}\b", text, re.M), f"{name[0]} is never imported"
