"""The dependency descriptor (AV1 RTP specification, appendix A), against a writer of it and real ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _codecs, _rtp
from sfu_core._codecs import Descriptor
from tests.models import recordings

OK, MALFORMED, NO_STRUCTURE = range(3)
NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)


class Bits:
    """A string of bits, as the specification writes them."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, width: int) -> Bits:
        self.text += f"{value:0{width}b}" if width else ""
        return self

    def put_non_symmetric(self, value: int, n: int) -> Bits:
        width = n.bit_length()
        spare = (1 << width) - n
        if value < spare:
            return self.put(value, width - 1)
        return self.put(value + spare, width)

    def data(self) -> bytes:
        text = self.text + "0" * (-len(self.text) % 8)
        return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]


@dataclass
class Structure:
    """What a template structure says; `templates`: (spatial, temporal, DTI of each target)."""

    templates: list[tuple[int, int, list[int]]]
    offset: int = 0
    fdiffs: list[list[int]] = field(default_factory=list)
    protected_by: list[int] = field(default_factory=list)
    chains: int = 0
    resolutions: list[tuple[int, int]] = field(default_factory=list)

    def write(self, bits: Bits) -> None:
        targets = len(self.templates[0][2])
        bits.put(self.offset, 6).put(targets - 1, 5)
        for (spatial, temporal, _), after in zip(self.templates, [*self.templates[1:], None], strict=True):
            step = 3 if after is None else 2 if after[0] > spatial else 1 if after[1] > temporal else 0
            bits.put(step, 2)
        for _, _, dtis in self.templates:
            for dti in dtis:
                bits.put(dti, 2)
        for at in range(len(self.templates)):
            for fdiff in self.fdiffs[at] if self.fdiffs else ():
                bits.put(1, 1).put(fdiff - 1, 4)
            bits.put(0, 1)
        bits.put_non_symmetric(self.chains, targets + 1)
        if self.chains:
            for chain in self.protected_by:
                bits.put_non_symmetric(chain, self.chains)
            bits.put(0, 4 * len(self.templates) * self.chains)
        bits.put(bool(self.resolutions), 1)
        for width, height in self.resolutions:
            bits.put(width - 1, 16).put(height - 1, 16)


def descriptor(
    template: int,
    *,
    number: int = 7,
    start: bool = True,
    end: bool = False,
    structure: Structure | None = None,
    active: tuple[int, int] | None = None,
    dtis: list[int] | None = None,
    fdiffs: list[tuple[int, int]] | None = None,
    chains: list[int] | None = None,
) -> bytes:
    """`active`: (mask, number of targets); `fdiffs`: (size in nibbles, value)."""
    bits = Bits().put(start, 1).put(end, 1).put(template, 6).put(number, 16)
    flags = [structure, active, dtis, fdiffs, chains]
    if all(part is None for part in flags):
        return bits.data()
    for part in flags:
        bits.put(part is not None, 1)
    if structure:
        structure.write(bits)
    if active:
        bits.put(*active)
    for dti in dtis or ():
        bits.put(dti, 2)
    if fdiffs is not None:
        for size, value in fdiffs:
            bits.put(size, 2).put(value, 4 * size)
        bits.put(0, 2)
    for chain in chains or ():
        bits.put(chain, 8)
    return bits.data()


L1T2 = Structure([(0, 0, [SWITCH, SWITCH]), (0, 1, [NOT_PRESENT, DISCARDABLE])], offset=62)
L2T2 = Structure(
    [
        (0, 0, [SWITCH, SWITCH, SWITCH, SWITCH]),
        (0, 0, [SWITCH, SWITCH, REQUIRED, REQUIRED]),
        (0, 1, [NOT_PRESENT, DISCARDABLE, NOT_PRESENT, REQUIRED]),
        (1, 0, [NOT_PRESENT, NOT_PRESENT, SWITCH, SWITCH]),
        (1, 1, [NOT_PRESENT, NOT_PRESENT, NOT_PRESENT, DISCARDABLE]),
    ],
    fdiffs=[[], [2], [1], [1, 2], [1]],
    chains=2,
    protected_by=[0, 0, 1, 1],
    resolutions=[(320, 180), (640, 360)],
)


def parser(structure: Structure) -> Descriptor:
    state = Descriptor()
    assert state.parse(descriptor(structure.offset, structure=structure))[0] == OK
    return state


def test_structure() -> None:
    state = Descriptor()
    status, info = state.parse(descriptor(0, structure=L2T2, number=0xFFFF, end=True))
    assert (status, info["structure"], info["frame_number"]) == (OK, 1, 0xFFFF)
    assert (info["start_of_frame"], info["end_of_frame"]) == (1, 1)
    assert state.structure() == {
        "templates": L2T2.templates,
        "targets": [(0, 0), (0, 1), (1, 0), (1, 1)],
        "chains": 2,
        "protected_by": [0, 0, 1, 1],
        "resolutions": [(320, 180), (640, 360)],
        "active": 0b1111,
    }


def test_templates_by_id() -> None:
    """Ids count on from the offset and wrap at 64."""
    state = parser(L1T2)
    assert [state.parse(descriptor(template))[1]["temporal"] for template in (62, 63)] == [0, 1]
    assert state.parse(descriptor(0))[0] == NO_STRUCTURE
    assert state.parse(descriptor(61))[0] == NO_STRUCTURE
    wrapped = parser(Structure(L1T2.templates, offset=63))
    assert wrapped.parse(descriptor(0))[1]["temporal"] == 1


def test_without_structure() -> None:
    for value in (descriptor(0), descriptor(0, active=(1, 1)), descriptor(0, fdiffs=[(1, 2)])):
        assert Descriptor().parse(value)[0] == NO_STRUCTURE


def test_own_values_of_a_frame() -> None:
    state = parser(L2T2)
    value = descriptor(2, dtis=[SWITCH, NOT_PRESENT, REQUIRED, SWITCH], fdiffs=[(1, 15), (3, 4000)], chains=[1, 255])
    status, info = state.parse(value)
    assert (status, info["spatial"], info["temporal"]) == (OK, 0, 1)
    assert info["switch_targets"] == 0b1001
    assert info["dtis"] == SWITCH | REQUIRED << 4 | SWITCH << 6
    for size in range(4, len(value)):
        assert state.parse(value[:size])[0] == MALFORMED
    assert state.parse(value[:3])[0] == OK  # the three mandatory bytes stand for themselves
    assert state.parse(value[:2])[0] == state.parse(b"")[0] == MALFORMED


def test_active_targets() -> None:
    state = parser(L2T2)
    assert state.parse(descriptor(0, active=(0b0011, 4)))[1]["active_changed"]
    assert state.structure()["active"] == 0b0011
    assert not state.parse(descriptor(0))[1]["active_changed"]
    assert state.structure()["active"] == 0b0011
    state.parse(descriptor(0, structure=L2T2))
    assert state.structure()["active"] == 0b1111


def test_malformed_structure_changes_nothing() -> None:
    state = parser(L1T2)
    before = state.structure()
    value = descriptor(0, structure=L2T2)
    for size in range(4, len(value)):
        assert state.parse(value[:size])[0] == MALFORMED
        assert state.structure() == before
    assert state.parse(descriptor(9, structure=L2T2))[0] == NO_STRUCTURE  # its own template is not in it
    assert state.structure() == before


def test_layers_out_of_range() -> None:
    five = Structure([(spatial, 0, [SWITCH]) for spatial in range(5)])
    nine = Structure([(0, temporal, [SWITCH]) for temporal in range(9)])
    for structure in (five, nine):
        assert Descriptor().parse(descriptor(0, structure=structure))[0] == MALFORMED
        structure.templates.pop()
        assert Descriptor().parse(descriptor(0, structure=structure))[0] == OK


def test_sixty_four_templates_and_thirty_two_targets() -> None:
    full = Structure([(0, 0, [SWITCH] * 32)] * 64, chains=32, protected_by=list(range(32)))
    state = Descriptor()
    status, info = state.parse(descriptor(63, structure=full))
    assert (status, info["switch_targets"]) == (OK, 0xFFFFFFFF)
    assert state.structure()["active"] == 0xFFFFFFFF
    assert state.structure()["protected_by"] == list(range(32))
    more = Structure([(0, 0, [SWITCH])] * 65)
    assert Descriptor().parse(descriptor(0, structure=more))[0] == MALFORMED


# --- what it means ---


def test_key_frame_is_the_first_packet_with_a_structure() -> None:
    payload = _codecs.inspect(35, b"\x10\x00")
    assert payload is not None
    state = Descriptor()
    for value, key in [
        (descriptor(0, structure=L2T2), 1),
        (descriptor(0, structure=L2T2, start=False), 0),
        (descriptor(0), 0),
    ]:
        assert state.parse(value)[0] == OK
        assert state.apply(payload)["key_frame"] == key


def test_applied_over_a_payload() -> None:
    payload = _codecs.inspect(34, b"\x67\x42", True)
    assert payload is not None
    state = parser(L2T2)
    state.parse(descriptor(3, number=99, start=False))
    info = state.apply(payload)
    assert {name: value for name, value in info.items() if value} == {
        "has_dd": 1,
        "has_layers": 1,
        "spatial": 1,
        "switching_up": 1,
        "dd_switch": 0b1100,
        "frame_number": 99,
    }


def test_switching() -> None:
    state = parser(L2T2)
    targets = [(0, 0), (0, 1), (1, 0), (1, 1)]

    def possible(template: int) -> list[tuple[int, int]]:
        state.parse(descriptor(template))
        return [target for target in targets if state.can_switch(*target)]

    assert [possible(template) for template in range(5)] == [
        targets,  # a key picture: everything
        [(0, 0), (0, 1)],
        [],
        [(1, 0), (1, 1)],
        [],
    ]
    assert not state.can_switch(2, 0)


@given(
    dtis=st.integers(1, 5).flatmap(
        lambda targets: st.lists(
            st.lists(st.integers(0, 3), min_size=targets, max_size=targets), min_size=1, max_size=20
        )
    ),
    steps=st.lists(st.integers(0, 2), min_size=20, max_size=20),
    offset=st.integers(0, 63),
    chains=st.integers(0, 6),
    resolution=st.booleans(),
)
def test_structures_read_back(
    dtis: list[list[int]], steps: list[int], offset: int, chains: int, resolution: bool
) -> None:
    layers = [(0, 0)]
    for step in steps:
        spatial, temporal = layers[-1]
        if step == 1 and temporal < 7:
            layers.append((spatial, temporal + 1))
        elif step == 2 and spatial < 3:
            layers.append((spatial + 1, 0))
        else:
            layers.append((spatial, temporal))
    templates = [(*layer, row) for layer, row in zip(layers, dtis, strict=False)]
    targets = len(dtis[0])
    chains = min(chains, targets)
    structure = Structure(
        templates,
        offset=offset,
        fdiffs=[[1 + at % 16] * (at % 3) for at in range(len(templates))],
        chains=chains,
        protected_by=[target % chains for target in range(targets)] if chains else [],
        resolutions=[(1 + s, 65535 - s) for s in range(templates[-1][0] + 1)] if resolution else [],
    )
    state = Descriptor()
    assert state.parse(descriptor(offset, structure=structure))[0] == OK
    read = state.structure()
    assert read["templates"] == templates
    assert read["resolutions"] == structure.resolutions
    assert read["chains"] == chains
    assert not chains or read["protected_by"] == structure.protected_by
    for at, (spatial, temporal, row) in enumerate(templates):
        _, info = state.parse(descriptor((offset + at) % 64))
        assert (info["spatial"], info["temporal"]) == (spatial, temporal)
        assert info["switch_targets"] == sum(1 << target for target, dti in enumerate(row) if dti == SWITCH)


@given(st.lists(st.binary(min_size=0, max_size=80), min_size=1, max_size=5))
def test_garbage(values: list[bytes]) -> None:
    state = parser(L2T2)
    for value in values:
        before = state.structure()
        status, info = state.parse(value)
        assert status == OK or state.structure() == before
        if status == OK:
            assert info["spatial"] < 4 and info["temporal"] < 8


# --- real ones ---


def test_real_structure_of_full_svc() -> None:
    table = recordings.kinds("av1-l3t3")
    state = Descriptor()
    structures = 0
    for data in recordings.rtp("av1-l3t3"):
        value = (_rtp.scan(data, table) or {}).get(7)
        if value is None:
            continue
        status, info = state.parse(value)
        assert status == OK
        structures += info["structure"]
        assert info["structure"] == (len(value) > 60)
    assert structures >= 2
    read = state.structure()
    assert len(read["targets"]) == 9 and read["chains"] == 3
    assert read["targets"] == [(s, t) for s in range(3) for t in range(3)]
    assert read["resolutions"] == [(320, 180), (640, 360), (1280, 720)]


@pytest.mark.parametrize("name", ["av1-l3t3"])
def test_real_values_truncated_everywhere(name: str) -> None:
    """Whatever is cut off, the answer is a clean one and the structure stays."""
    table = recordings.kinds(name)
    state = Descriptor()
    for data in recordings.rtp(name)[:60]:
        value = (_rtp.scan(data, table) or {}).get(7, b"")
        if not value:
            continue
        assert state.parse(value)[0] == OK
        before = state.structure()
        for size in range(len(value)):
            assert state.parse(value[:size])[0] == (MALFORMED if size != 3 else OK)
            assert state.structure() == before


def test_state_fits_in_twelve_cache_lines() -> None:
    assert _codecs.state_size() <= 12 * 64
