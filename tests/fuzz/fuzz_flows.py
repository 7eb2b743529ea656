"""Drives a table of flows and its plain model with the same steps, then lets the bytes themselves be the table."""

import mmap
import os

from sfu_core._flows import Flows, new_table
from tests.models.flows import FlowModel

CORES = 3
SEEDS = [bytes(range(120)), b"\x01\x02\x03" * 40, b"\x80\x00\x41" * 30, b"\xff" * 64]


def fuzz_one(data: bytes) -> None:
    memfd = new_table(CORES)
    try:
        cores, model = [Flows(memfd, number) for number in range(CORES)], FlowModel(CORES)
        for now_ns, (action, host, port) in enumerate(zip(data[:300:3], data[1:300:3], data[2:300:3], strict=False)):
            core, key = action % CORES, (action >> 6, f"10.0.0.{host & 15}", port & 3)
            if action & 32:
                cores[core].remove(*key)
                model.remove(core, key)
            else:
                assert cores[core].put(*key, now_ns)
                model.put(core, key, now_ns)
            asking = (action >> 2) % CORES
            found, expected = cores[asking].owner(*key), model.owners(asking, key)
            assert (found in expected) if expected else found is None
        _overwrite(memfd, data)
        for port in range(8):
            owner = cores[0].owner(port & 3, f"10.0.0.{port}", port)
            assert owner is None or 0 < owner[0] < CORES
            cores[1].put(port & 3, f"10.0.0.{port}", port)
            cores[1].remove(port & 3, f"10.0.0.{port}", port)
    finally:
        os.close(memfd)


def _overwrite(memfd: int, data: bytes) -> None:
    with mmap.mmap(memfd, os.fstat(memfd).st_size) as memory:
        for number, start in enumerate(range(0, len(data), 32)):
            at = 4096 + (int.from_bytes(data[start : start + 4], "little") * 8) % (len(memory) - 8192)
            memory[at : at + 32] = data[start : start + 32].ljust(32, bytes([number & 255]))
        memory[:16] = data[:16].ljust(16, b"\x00")
