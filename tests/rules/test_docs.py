"""The documentation: every page is linked, every link leads somewhere, every command exists."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from .tree import ROOT, module_of, project_files, sources

PAGES = [path for path in project_files() if path.suffix == ".md" and "tests" not in path.relative_to(ROOT).parts]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
TEST = re.compile(r"`((?:tests|benchmarks|examples|scripts)/[\w/.]+)`")
MAKE = re.compile(r"`make ([a-z]+)`|^\s*make ([a-z]+)", re.M)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def targets(page: Path) -> list[str]:
    """Links of a page that lead into the project."""
    text = FENCE.sub("", page.read_text())
    return [match[1] for match in LINK.finditer(text) if match[1] and "://" not in match[1]]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in targets(page):
        assert (page.parent / target).exists(), target


def test_every_docs_page_is_linked() -> None:
    linked = {(page.parent / target).resolve() for page in PAGES for target in targets(page)}
    orphans = [name(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked]
    assert orphans == []


def test_commands_of_the_docs_exist() -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        used = {a or b for a, b in MAKE.findall(page.read_text())}
        assert used <= known, f"{name(page)}: make {used - known}"


def test_tests_named_in_the_docs_exist() -> None:
    for page in PAGES:
        for mentioned in TEST.findall(page.read_text()):
            assert (ROOT / mentioned).exists(), f"{name(page)}: {mentioned}"


def test_every_benchmark_is_described_and_runs() -> None:
    """All in one way, and as the other pages, the Makefile and scripts say it."""
    modules = [module_of(path).removesuffix(".__main__") for path in sources(".py", "benchmarks")]
    programs = {module for module in modules if module.count(".") == 1}
    described = set(re.findall(r"^\| `python -m ([\w.]+)", (ROOT / "benchmarks/README.md").read_text(), re.M))
    assert described == programs
    for path in (*PAGES, ROOT / "Makefile", *sources(".py", "scripts", "benchmarks")):
        text = path.read_text()
        assert set(re.findall(r"-m (benchmarks\.[\w.]+\w)", text)) <= programs, name(path)
        assert not re.findall(r"(?:python|PY\)) benchmarks/\S+", text), name(path)
    for module in programs:
        run = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, f"{module}: {run.stderr}"


@pytest.mark.parametrize(
    "page", ["README.md", "docs/vertical.md", "docs/ring.md", "docs/remote.md", "docs/horizontal.md"]
)
def test_pages_show_the_stored_runs(page: str) -> None:
    """Numbers are not typed: `python scripts/readme_table.py` writes them."""
    script = runpy.run_path(str(ROOT / "scripts/readme_table.py"))
    text = (ROOT / page).read_text()
    assert text == script["updated"](page, text)


def test_porting_shows_the_mains_as_they_are() -> None:
    """Differences are not typed: `python scripts/porting_diffs.py` writes them."""
    script = runpy.run_path(str(ROOT / "scripts/porting_diffs.py"))
    text = (ROOT / "examples/porting/README.md").read_text()
    assert text == script["updated"](text)
    shown = set(re.findall(r"<!-- (\w+) -->\n```", text))
    assert shown == {path.stem for path in (ROOT / "examples/porting").glob("*.py")} - {"conference"}


def test_readme_begins_with_one_sentence() -> None:
    paragraphs = (ROOT / "README.md").read_text().split("\n\n")
    assert paragraphs[0] == "# sfu-core"
    assert paragraphs[1].count(". ") == 0
    assert paragraphs[1].strip().endswith(".")


COMMAND = re.compile(r"^ +(?:\w+=\S+ |\w+=\"[^\"]*\" )*(?:python (?:-m )?([\w./]+)|(sfu \w+))([^\n#]*)", re.M)


def commands(page: Path) -> dict[str, set[str]]:
    """The options that a page uses of each of our programs, by what `python` is to run."""
    used: dict[str, set[str]] = {}
    for program, command, rest in COMMAND.findall(page.read_text().replace("\\\n", " ")):
        used.setdefault(program or command, set()).update(re.findall(r"--[\w-]+", rest))
    return used


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_programs_and_options_of_the_docs_exist(page: Path) -> None:
    for program, options in commands(page).items():
        arguments = [program] if program.endswith(".py") else ["-m", *program.split()]
        place = page.parent if (page.parent / program).exists() else ROOT
        run = subprocess.run([sys.executable, *arguments, "--help"], cwd=place, capture_output=True, text=True)
        assert run.returncode == 0, f"{program}: {run.stderr}"
        assert options <= set(re.findall(r"--[\w-]+", run.stdout)), f"{program}: {options}"


def test_all_options_of_serve_are_described() -> None:
    run = subprocess.run([sys.executable, "-m", "sfu", "serve", "--help"], cwd=ROOT, capture_output=True, text=True)
    options = {each for each in re.findall(r"^  (--[\w-]+)", run.stdout, re.M)}
    described = set(re.findall(r"`(--[\w-]+)`", (ROOT / "docs/serve.md").read_text()))
    assert options and described - {"--no-vertical"} == options
