"""Who may import whom."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from .tree import PACKAGES, ROOT, imports, module_of, sources

MAY_IMPORT = {
    "sfu_core": {"sfu_core"},
    "vertical": {"sfu_core", "vertical"},
    "horizontal": {"sfu_core", "horizontal"},
    "sfu": set(PACKAGES),
}

# A file cimports only from lower tiers, or from its own tier what stands before it.
TIERS: tuple[tuple[str, ...], ...] = (
    ("_types", "_bytes", "_slab", "_debug", "_testdoor"),
    ("_ring", "_net", "_flows", "_rtp", "_rtcp", "_rtcp_write", "_evp", "_libsrtp", "_srtp", "_stun", "_codecs"),
    ("_stream", "_nack", "_rtx", "_twcc", "_remb", "_munge"),
    ("_records", "_core", "_history", "_events", "_links", "_output"),
    ("_steering", "_paths", "_ice", "_forward", "_receive", "_feedback"),
    ("_memory", "_commands", "_loop", "_engine_read", "_slab_read", "_door", "_engine"),
)

CIMPORT = re.compile(
    r"^\s*(?:from\s+sfu_core\.(\w+)\s+cimport|from\s+sfu_core\s+cimport\s+(\w+)|cimport\s+sfu_core\.(\w+))", re.M
)
BLOCK_COMPILED = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("sfu_core._", "sfu._")):
            raise ImportError("compiled module " + name)
sys.meta_path.insert(0, Block())
import {name}
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    for path in sources(".py", package):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in PACKAGES or top in MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("part", ["channel", "mediasoup"])
def test_control_side_names_nothing_compiled(part: str) -> None:
    for path in sources(".py", "sfu_core"):
        if module_of(path).startswith(f"sfu_core.{part}"):
            compiled = {name for name in imports(path) if name.startswith("sfu_core._")}
            assert not compiled, f"{path.relative_to(ROOT)} imports {compiled}"


@pytest.mark.parametrize("name", ["sfu_core", "sfu_core.channel", "sfu_core.mediasoup", "horizontal"])
def test_control_side_can_be_imported_without_a_compiler(name: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", BLOCK_COMPILED.format(name=name)], cwd=ROOT, check=True)


def test_channel_does_not_know_the_api() -> None:
    for path in sources(".py", "sfu_core"):
        if module_of(path).startswith("sfu_core.channel"):
            above = {name for name in imports(path) if name.startswith(("sfu_core.mediasoup", "sfu_core.worker"))}
            assert not above, f"{path.relative_to(ROOT)} imports {above}"


def cimports(stem: str) -> set[str]:
    """The compiled modules that `sfu_core/<stem>.pyx` and its .pxd cimport."""
    text = "".join(p.read_text() for p in (ROOT / f"sfu_core/{stem}{s}" for s in (".pyx", ".pxd")) if p.exists())
    return {next(filter(None, match)) for match in CIMPORT.findall(text)} - {stem}


def test_every_compiled_file_has_its_tier() -> None:
    ranked = {stem for tier in TIERS for stem in tier}
    found = {p.stem for suffix in (".pyx", ".pxd") for p in sources(suffix, "sfu_core")}
    assert found - ranked == set(), "add them to TIERS and to docs/architecture.md"


def test_compiled_files_cimport_only_lower_tiers() -> None:
    order = [stem for tier in TIERS for stem in tier]
    for position, stem in enumerate(order):
        upward = cimports(stem) - set(order[:position])
        assert not upward, f"{stem} cimports {sorted(upward)}"
