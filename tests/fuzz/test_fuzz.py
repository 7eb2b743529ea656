"""Runs every `fuzz_*.py` beside it for FUZZ_SECONDS (default 1) each.

A harness has `fuzz_one(data: bytes)`, which raises if something is wrong, and may have `SEEDS: list[bytes]`, inputs to
start from. Inputs are drawn from a seeded generator (FUZZ_SEED, default 0), half of them as mutations of seeds and of
earlier inputs, so that a failure can be repeated; the failing input is shown in hex.
"""

import importlib.util
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

SECONDS = float(os.environ.get("FUZZ_SECONDS", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
MAX_SIZE = 1700
HARNESSES = sorted(Path(__file__).parent.glob("fuzz_*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, cut out, repeated or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(changed) + 1)
        action = rng.randrange(4)
        if action == 0 and at < len(changed):
            changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256), changed[at] ^ 1 << rng.randrange(8)])
        elif action == 1:
            del changed[at : at + rng.randint(1, 16)]
        elif action == 2:
            changed[at:at] = changed[at : at + rng.randint(1, 16)]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(changed[:MAX_SIZE])


def inputs(rng: random.Random, seeds: list[bytes]) -> Iterator[bytes]:
    """The seeds, then random and mutated inputs without end."""
    pool = list(seeds) or [rng.randbytes(64)]
    yield from pool
    while True:
        if rng.random() < 0.5:
            data = rng.randbytes(rng.choice([rng.randint(0, 24), rng.randint(0, 200), rng.randint(0, MAX_SIZE)]))
        else:
            data = mutated(rng, rng.choice(pool))
        if rng.random() < 0.02 and len(pool) < 500:
            pool.append(data)
        yield data


@pytest.mark.parametrize("path", HARNESSES, ids=lambda path: path.stem)
def test_fuzz(path: Path, record_property: Callable[[str, object], None]) -> None:
    harness = load(path)
    until = time.monotonic() + SECONDS
    count = 0
    for data in inputs(random.Random(f"{SEED}/{path.stem}"), getattr(harness, "SEEDS", [])):
        try:
            harness.fuzz_one(data)
        except Exception as error:
            error.add_note(f"after {count} inputs; this one: {data.hex()}")
            raise
        count += 1
        if count % 16 == 0 and time.monotonic() > until:
            break
    record_property("executions", count)
    assert count > 0
