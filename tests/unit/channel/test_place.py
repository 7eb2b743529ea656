"""Places: equal on one host, and nothing of the machine's own ids in them."""

from pathlib import Path

import msgspec
import pytest

from sfu_core.channel import place
from sfu_core.channel.place import Place, host_id, local_place


@pytest.fixture(autouse=True)
def fresh() -> None:
    host_id.cache_clear()


def test_the_host_id_is_stable_and_tells_nothing() -> None:
    first = host_id()
    host_id.cache_clear()
    assert host_id() == first
    assert len(first) == 32 and int(first, 16)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert boot.replace("-", "") != first


@pytest.mark.parametrize("which", ["_MACHINE_ID", "_BOOT_ID"])
def test_another_machine_or_boot_is_another_host(which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = host_id()
    host_id.cache_clear()
    other = tmp_path / "id"
    other.write_text("another\n")
    monkeypatch.setattr(place, which, other)
    assert host_id() != here


def test_missing_files_do_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(place, "_MACHINE_ID", tmp_path / "none")
    monkeypatch.setattr(place, "_BOOT_ID", tmp_path / "none")
    assert len(host_id()) == 32


def test_places_of_one_host_share_it_and_survive_the_wire() -> None:
    here = local_place(("192.0.2.1",))
    there = Place(host_id="00" * 16, extensions=frozenset({200, 201}))
    assert here.shares_host_with(local_place())
    assert not here.shares_host_with(there)
    for one in (here, there):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Place) == one
