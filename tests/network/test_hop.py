"""What a hop to another host adds to a packet's delay: `benchmarks.hop`, in short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from network import spaces

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(bool(spaces.why_not()), reason=spaces.why_not())


def test_a_hop_to_another_host_is_short(tmp_path: Path) -> None:
    """In a process of its own, which moves to another host. The best of three rounds: other work is not the hop's."""
    result = tmp_path / "hop.json"
    options = ["--rounds", "3", "--seconds", "1", "--json", str(result)]
    subprocess.run([sys.executable, "-m", "benchmarks.hop", *options], cwd=ROOT, check=True, timeout=120)
    rows = json.loads(result.read_text())["results"]
    assert len(rows) == 3
    for row in rows:
        best = row["addedP99Us"][0]
        assert row["lost"] <= 0.01 * 3 * row["packets"], row
        assert 0 < row["addedP50Us"][0] <= best <= 1000, row
