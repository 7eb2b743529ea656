"""The table of flows against a plain model, with writers at work, and over memory that is nonsense."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import struct
from collections.abc import Iterator

import pytest

from sfu_core._flows import Flows, new_table
from sfu_core.shared_memory import memory_size
from tests.models.flows import FlowModel

SLOTS = 16384


@pytest.fixture
def table() -> Iterator[int]:
    memfd = new_table(4)
    yield memfd
    os.close(memfd)


def addresses(count: int) -> list[tuple[int, str, int]]:
    ips = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count))
    return [(number % 3, ip, 1024 + number % 60000) for number, ip in enumerate(ips)]


def test_it_says_what_a_plain_model_says(table: int) -> None:
    cores, model, noise = [Flows(table, number) for number in range(4)], FlowModel(4), random.Random(7)
    known = addresses(60)
    for step in range(20_000):
        core, key = noise.randrange(4), noise.choice(known)
        if noise.random() < 0.5:
            assert cores[core].put(*key, step)
            model.put(core, key, step)
        elif noise.random() < 0.5:
            cores[core].remove(*key)
            model.remove(core, key)
        asking, key = noise.randrange(4), noise.choice(known)
        found, expected = cores[asking].owner(*key), model.owners(asking, key)
        assert (found in expected) if expected else found is None


def test_listener_address_and_port_all_count(table: int) -> None:
    one, two = Flows(table, 0), Flows(table, 1)
    one.put(1, "1.2.3.4", 5, 9)
    assert two.owner(1, "1.2.3.4", 5) == (0, 9)
    assert [two.owner(*key) for key in ((0, "1.2.3.4", 5), (1, "1.2.3.5", 5), (1, "1.2.3.4", 6))] == [None] * 3
    assert one.owner(1, "1.2.3.4", 5) is None, "who asks does not mean itself"
    one.put(1, "2001:db8::1:2:3:4", 5, 9)
    assert two.owner(1, "2001:db8::1:2:3:4", 5) == (0, 9)
    others = ("2001:db8::1:2:3:5", "2001:db9::1:2:3:4", "::ffff:1.2.3.4")
    assert [two.owner(1, ip, 5) for ip in others] == [None] * 3


def test_there_is_room_for_all_tuples_of_a_core(table: int) -> None:
    """4096 transports, two addresses each."""
    one, two = Flows(table, 0), Flows(table, 1)
    keys = addresses(8192)
    assert all(one.put(*key, number) for number, key in enumerate(keys))
    assert [two.owner(*key) for key in keys] == [(0, number) for number in range(8192)]
    for key in keys:
        one.remove(*key)
    assert not any(two.owner(*key) for key in keys)


def test_a_full_table_refuses_and_goes_on(table: int) -> None:
    one, two = Flows(table, 0), Flows(table, 1)
    keys = addresses(2 * SLOTS)
    taken = [key for key in keys if one.put(*key)]
    assert 0.9 * SLOTS < len(taken) <= SLOTS
    assert all(two.owner(*key) == (0, 0) for key in taken)
    one.remove(*taken[0])
    assert one.put(*taken[0], 1) and two.owner(*taken[0]) == (0, 1)


def test_a_successor_begins_with_nothing(table: int) -> None:
    one, two = Flows(table, 0), Flows(table, 1)
    one.put(0, "1.2.3.4", 5)
    two.put(0, "1.2.3.4", 6)
    again = Flows(table, 0)
    assert two.owner(0, "1.2.3.4", 5) is None and again.owner(0, "1.2.3.4", 6) == (1, 0)


def test_seeds_differ() -> None:
    seeds = set()
    for _ in range(4):
        memfd = new_table(1)
        seeds.add(os.pread(memfd, 8, 16))
        os.close(memfd)
    assert len(seeds) == 4


def test_only_sealed_memory_of_the_right_size_is_taken(table: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(table, 4096)
    assert memory_size(table) == os.fstat(table).st_size
    for number in (4, 256, 2**32 - 1):
        with pytest.raises(TypeError):
            Flows(table, number)
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(loose, 1 << 20)
    with pytest.raises(ValueError, match="taken away"):
        Flows(loose, 0)
    os.close(loose)
    for wrong in (0, 257):
        with pytest.raises(TypeError, match="cores"):
            new_table(wrong)


def test_a_header_that_lies_is_refused(table: int) -> None:
    for offset, value in ((0, 1), (8, 0), (8, 5), (8, 2**40)):
        memfd = new_table(4)
        os.pwrite(memfd, struct.pack("<Q", value), offset)
        with pytest.raises(TypeError):
            Flows(memfd, 0)
        os.close(memfd)


def churn(memfd: int, number: int) -> None:
    flows, noise = Flows(memfd, number), random.Random(number)
    mine = [(number, f"9.9.{number}.{last}", 1000 + last) for last in range(50)]
    while True:
        key = noise.choice(mine)
        flows.put(*key, 7 * noise.randrange(1000))
        if noise.random() < 0.3:
            flows.remove(*key)


def test_a_reader_never_sees_half_an_entry(table: int) -> None:
    """Writers in other processes; what is found is always theirs and whole."""
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=churn, args=(table, number), daemon=True) for number in (1, 2)]
    for writer in writers:
        writer.start()
    flows, found = Flows(table, 0), 0
    for _ in range(2000):
        for number in (1, 2):
            for last in range(0, 50, 7):
                owner = flows.owner(number, f"9.9.{number}.{last}", 1000 + last)
                if owner is not None:
                    found += 1
                    assert owner[0] == number and owner[1] % 7 == 0 and owner[1] < 7000
                assert flows.owner(number, f"9.9.{number}.{last}", 999) is None
    for writer in writers:
        writer.kill()
        writer.join()
    assert found > 1000


def test_nonsense_in_the_memory_misleads_and_nothing_else(table: int) -> None:
    flows, noise = Flows(table, 0), random.Random(3)
    memory = mmap.mmap(table, memory_size(table))
    seed = bytes(memory[16:24])
    for _ in range(30):
        memory[4096:] = noise.randbytes(1 << 16) * ((len(memory) - 4096) >> 16) + bytes((len(memory) - 4096) & 0xFFFF)
        memory[:16] = noise.randbytes(16)
        for key in addresses(200):
            owner = flows.owner(*key)
            assert owner is None or 0 < owner[0] < 4
            flows.put(*key)
            flows.remove(*key)
    assert bytes(memory[16:24]) == seed
    memory.close()
