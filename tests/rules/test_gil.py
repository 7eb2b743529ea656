"""No function of the media thread can take the GIL, allocate, or check for a Python error.

Looked for in the generated C, where it would be; a file that must fail shows that the search finds it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .tree import ROOT, sources

FUNCTION = re.compile(r"^static (?:CYTHON_INLINE )?[^;{}=]*?\b(__pyx_f_\w+)\([^;{}]*\) \{\n(.*?)^\}$", re.M | re.S)
DECLARED = re.compile(
    r"^([ ]*)cdef\s+(?:inline\s+)?(?P<type>[^\n(=]*?)\b(?P<name>\w+)\s*\((?P<arguments>(?:[^()]|\([^()]*\))*)\)"
    r"(?P<how>[^\n:]*\bnogil)\s*(?::|$)",
    re.M,
)
CLASS = re.compile(r"^cdef class (\w+)", re.M)
PYTHON = re.compile(
    r"PyGILState_Ensure|__Pyx_PyGILState_Ensure|__Pyx_WriteUnraisable|__Pyx_AddTraceback|__Pyx_ErrOccurredWithGIL"
    r"|__Pyx_RefNannySetupContext|PyErr_\w+|Py_INCREF|Py_DECREF"
)
# These run when an object is made or ended, never for a packet.
SET_UP = {
    "_slab.free_list_init",
    "_slab.free_list_destroy",
    "_srtp.context_empty",
    "_srtp.srtp_context_free",
    "_libsrtp.lib_session_new",
    "_libsrtp.lib_session_free",
}
HEAP = re.compile(r"\b(?:malloc|calloc|realloc|free|PyMem_\w+)\(")

NAUGHTY = """
cdef int half(int x) nogil:
    if x & 1:
        with gil:
            raise ValueError
    return x // 2

def go(int x):
    return half(x)
"""


def nogil_functions(text: str) -> set[str]:
    """C names (without the module's prefix) of the functions declared nogil in Cython source."""
    classes = [(match.start(), match[1]) for match in CLASS.finditer(text)]
    names = set()
    for match in DECLARED.finditer(text):
        owner = [name for start, name in classes if start < match.start()] if match[1] else []
        names.add(f"{owner[-1]}_{match['name']}" if owner else match["name"])
    return names


def media_bodies(module: str, source: str, generated: str) -> dict[str, str]:
    """Bodies in the generated C of the module's nogil functions."""
    wanted = nogil_functions(source)
    dotted = module.split(".")
    prefix = "__pyx_f_" + "".join(f"{len(part)}{part}_" for part in dotted)
    bodies = {match[1]: match[2] for match in FUNCTION.finditer(generated)}
    return {
        name.removeprefix(prefix): body
        for name, body in bodies.items()
        if name.startswith(prefix) and name.removeprefix(prefix) in wanted
    }


COMPILED = [path for path in sources(".pyx", "sfu_core")]
PER_PACKET = [path for path in COMPILED if path.stem != "_memory"]  # that one is what allocates


def read(path: Path) -> tuple[str, str]:
    generated = path.with_suffix(".c")
    assert generated.exists(), f"{generated.name} is missing: run `make build`"
    declarations = path.with_suffix(".pxd")
    return path.read_text() + (declarations.read_text() if declarations.exists() else ""), generated.read_text()


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_media_functions_touch_no_python(path: Path) -> None:
    source, generated = read(path)
    bodies = media_bodies(f"sfu_core.{path.stem}", source, generated)
    for name, body in bodies.items():
        assert not (found := PYTHON.search(body)), f"{path.stem}.{name}: {found[0] if found else ''}"


@pytest.mark.parametrize("path", PER_PACKET, ids=lambda path: path.stem)
def test_media_functions_do_not_allocate(path: Path) -> None:
    source, generated = read(path)
    for name, body in media_bodies(f"sfu_core.{path.stem}", source, generated).items():
        found = HEAP.search(body)
        assert not found or f"{path.stem}.{name}" in SET_UP, f"{path.stem}.{name}: {found[0] if found else ''}"


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_nogil_functions_are_noexcept(path: Path) -> None:
    for match in DECLARED.finditer(read(path)[0]):
        assert "noexcept" in match["how"], f"{path.stem}.{match['name']} may raise, so each caller checks under the GIL"


def test_every_media_function_is_found() -> None:
    """The search would pass on nothing at all: most declared functions must have been seen."""
    declared = seen = 0
    for path in COMPILED:
        source, generated = read(path)
        declared += len(nogil_functions(path.read_text()))
        seen += len(media_bodies(f"sfu_core.{path.stem}", source, generated))
    assert declared > 100
    assert seen >= 0.9 * declared


def test_search_finds_a_function_that_takes_the_gil(tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    (tmp_path / "naughty.pyx").write_text(NAUGHTY)
    subprocess.run([sys.executable, "-m", "cython", "-3", "naughty.pyx"], cwd=tmp_path, check=True)
    bodies = media_bodies("naughty", NAUGHTY, (tmp_path / "naughty.c").read_text())
    assert PYTHON.search(bodies["half"])
    assert not any("noexcept" in match["how"] for match in DECLARED.finditer(NAUGHTY))
    assert ROOT not in tmp_path.parents
