"""Every harness for a moment (FUZZ_SECONDS, default 1), each in a process of its own, so that a crash is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.fuzzer import LastInput, fuzz

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("FUZZ_SECONDS", "1"))
HARNESSES = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))
# Deterministic, unless there is time to look for something new.
SEED = ["--seed", "1"] if SECONDS <= 5 else []


@pytest.mark.parametrize("harness", HARNESSES)
def test_fuzz(harness: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.fuzzer", harness, "--keep", str(tmp_path / "last")]
    ran = subprocess.run(
        [*command, "--seconds", str(SECONDS), *SEED], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    executions = int(ran.stdout.split()[-2])
    print(f"{harness}: {executions} executions")
    assert executions > 10


def test_a_broken_parser_is_found(tmp_path: Path) -> None:
    """The mutations reach what they should: a parser with a mistake in a rare place fails soon."""

    def naive(data: bytes) -> None:
        """Trusts a length in the data."""
        if len(data) > 4 and data[0] >> 6 == 2:
            size = int.from_bytes(data[2:4], "big")
            assert size < 0x4000, "would read far behind the end"

    last = LastInput(tmp_path / "last")
    with pytest.raises(AssertionError):
        fuzz(naive, [b"\x80\xc8\x00\x01" + bytes(8)], seconds=30, runs=100_000, seed=1, last=last)
    assert int.from_bytes(LastInput.load(last.path)[2:4], "big") >= 0x4000
