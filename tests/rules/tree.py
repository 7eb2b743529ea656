"""What the rule tests look at: the files of the project, found once. Nothing here imports the project."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sfu_core", "vertical", "horizontal", "sfu")
_BUILT = re.compile(r"(^|/)(build|dist|\.venv|node_modules|__pycache__|wheelhouse)/")


@cache
def project_files() -> tuple[Path, ...]:
    """All files that belong to the project (tracked, or new and not ignored)."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        names = [name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # a copy without its repository
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return tuple(ROOT / name for name in names if not _BUILT.search(name) and (ROOT / name).is_file())


def sources(suffix: str, *folders: str) -> list[Path]:
    """Project files with this suffix in these top folders."""
    return [p for p in project_files() if p.suffix == suffix and p.relative_to(ROOT).parts[0] in folders]


def module_of(path: Path) -> str:
    """`sfu_core/channel/__init__.py` → `sfu_core.channel`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Absolute names of all modules a Python file imports, also inside functions; `a.b` for `from a import b`."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found
