"""The version of a slab is a digest of what is declared to lie there, so that nobody has to remember to raise it."""

import re
from hashlib import blake2b

from tests.rules.tree import ROOT

CORE = ROOT / "sfu_core"
TABLE = re.compile(r"slab_plan\(plan, TABLE_\w+, sizeof\((\w+)\)")
BLOCK = re.compile(r"^cdef (?:struct|enum) ?(\w*):\n((?:(?: +.*)?\n)+)", re.MULTILINE)
NUMBER = re.compile(r"^(\w+) = (\w+)$")
VERSION = re.compile(r"SLAB_VERSION = (0x[0-9A-F]{8})")


def declarations() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Structs, each with its fields in order; and named numbers."""
    structs, numbers = {}, {}
    for path in sorted(CORE.glob("_*.pxd")):
        text = re.sub(r" *#.*", "", path.read_text())
        for name, body in BLOCK.findall(text):
            lines = [" ".join(line.split()) for line in body.splitlines() if line.strip()]
            found = dict(match.groups() for line in lines if (match := NUMBER.match(line)))
            numbers |= found
            if not found:
                structs[name] = lines
    return structs, numbers


def layout() -> list[str]:
    """Every struct and every number that says where something is."""
    structs, numbers = declarations()
    names = ["SlabHeader", *TABLE.findall((CORE / "_memory.pyx").read_text()), "Record"]  # the last: of the history
    found = []
    for name in names:
        lines = structs[name]
        found += [name, *lines]
        for word in re.findall(r"\w+", " ".join(lines)):
            if word in structs and word not in names:
                names.append(word)
            elif word in numbers:
                found.append(f"{word} = {numbers[word]}")
    return found


def test_the_version_is_that_of_what_is_declared() -> None:
    digest = blake2b("\n".join(layout()).encode(), digest_size=4).hexdigest().upper()
    (version,) = VERSION.findall((CORE / "_slab.pxd").read_text())
    assert version == f"0x{digest}", f"the layout has changed: SLAB_VERSION in _slab.pxd should be 0x{digest}"


def test_all_that_lies_there_is_looked_at() -> None:
    found = set(layout())
    assert {"Counters", "Transport", "Ice", "Munger", "SrtpKeys", "ReplayWindow", "Sent", "NackEntry"} <= found
    assert {"uint32_t key_frame_flags", "PayloadType types[MAX_PAYLOAD_TYPES]", "MAX_PAYLOAD_TYPES = 32"} <= found
