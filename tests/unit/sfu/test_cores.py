"""The benchmarks of many cores measure what they say: shapes, arithmetic, a repeatable simulation, and short runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cores import placement, rooms, simulation, stage, storm
from sfu.bench.cpu import CpuTime

ROOT = Path(__file__).parents[3]


def test_shapes_that_are_compared_load_a_core_alike() -> None:
    assert [stage.Shape(100).share(cores) for cores in (1, 2, 4)] == [stage.Shape(n) for n in (100, 50, 25)]
    assert stage.Shape(8, True).share(1) == stage.Shape(8, True)
    assert stage.Shape(8, True).share(2) == stage.Shape(6, True)  # 56 streams, 30 on each
    assert (stage.Shape(8, True).mesh(2), stage.Shape(100).mesh(2)) == (8, 1)
    assert (stage.Shape(8, True).name, stage.Shape(100).name) == ("8x8", "1x100")


def test_spread_is_quartiles() -> None:
    assert stage.spread([3, 1, 2]) == [1, 2, 3]
    assert stage.spread([float(n) for n in range(1, 12)]) == [3, 6, 9]


def turn(cost: int, delivered: int = 100) -> stage.Turn:
    counters = {"wakes": 10.0, "linkPackets": 50.0, "datagramsIn": 40.0}
    return stage.Turn(CpuTime(cost * delivered * 2, cost * delivered, 0), delivered, 100, 1.0, counters)


def test_the_ratio_pairs_turns() -> None:
    room, alone = [turn(2000), turn(8000), turn(4000)], [turn(1000), turn(8000), turn(3000)]
    row = rooms.summary(stage.Shape(8, True), 2, "gcm", room, alone, {"pipes": 8})
    assert row["ratio"] == row["processRatio"] == [0.5, 0.75, 1]
    assert (row["roomNs"][1], row["aloneNs"][1], row["packetsPerCpuSecond"]) == (4000, 3000, 250_000)
    assert (row["crossing"], row["lost"]) == (0.5, 0)
    assert (row["pipes"], row["mesh"]) == (8, 8)


def test_percentiles_of_a_histogram() -> None:
    delays = [(5, 50), (10, 40), (1000, 10)]
    assert [storm.percentile(delays, share) for share in (0.5, 0.9, 0.91, 0.99)] == [5, 10, 1000, 1000]
    assert storm.percentile([], 0.5) == 0


# The simulation


def simulate(policy: str, seed: int = 7) -> dict[str, Any]:
    return placement.simulate(16, policy, seed, 150)


def test_the_simulation_repeats_itself() -> None:
    assert simulate("fill_first") == simulate("fill_first")
    assert simulate("fill_first") != simulate("fill_first", seed=8)


def test_keeping_rooms_together_needs_fewer_pipes() -> None:
    together, apart = simulate("fill_first"), simulate("spread")
    assert together["rooms"] == apart["rooms"] > 20
    assert together["pipes"] < apart["pipes"] / 2 < apart["mesh"]
    assert together["onOneCore"] > 0.5 > apart["onOneCore"]
    assert together["coresInUse"] < apart["coresInUse"]
    assert together["furtherCores"] < apart["furtherCores"]


def test_when_all_have_left_nothing_is_counted() -> None:
    host = simulation.Host(4, placement.fill_first, 3, rooms_per_second=0.1, stay=20)
    for now in host.run(400):
        if now == 100:
            assert host.producers and any(core.load > 0.1 for core in host.cores)
            host._open_rooms = lambda: None  # type: ignore[method-assign]
            host._rate = 1e-9
    assert (host.pipes, host.producers, host.rooms) == (0, 0, {})
    for core in host.cores:
        assert core.load == pytest.approx(0, abs=1e-9)
        assert core.member.transports == 0
        assert core.member.measured == pytest.approx(0, abs=1e-6)
        assert core.member.predicted == pytest.approx(0, abs=1e-6)


# Short runs


def run(tmp_path: Path, part: str) -> list[dict[str, Any]]:
    out = tmp_path / "cores.json"
    command = [sys.executable, "-m", "benchmarks.cores", "--quick", "--only", part, "--json", str(out)]
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(out.read_text())["results"]
    assert len(done.stdout.splitlines()) == len(rows) + 2
    return rows


def test_rooms(tmp_path: Path) -> None:
    rows = run(tmp_path, "rooms")
    assert {(row["room"], row["cores"]) for row in rows} >= {("1x10", 1), ("4x4", 1)}
    for row in rows:
        assert row["lost"] < 0.02
        assert row["deliveredPerSecond"] == pytest.approx(rooms.DELIVERED_PER_SECOND, rel=0.25)
        assert 0.2 < row["ratio"][1] < 5
        assert 0 < row["countersPerSecond"]["linkBells"] + 1 <= row["countersPerSecond"]["linkPublications"] + 1
        if row["cores"] == 1:
            assert row["crossing"] == row["pipes"] == row["mesh"] == 0
        if row["cores"] == 2:
            assert row["pipes"] == row["mesh"] == (1 if row["room"] == "1x10" else 4)
            assert row["crossing"] == pytest.approx(0.1 if row["room"] == "1x10" else 1 / 3, rel=0.2)


def test_port(tmp_path: Path) -> None:
    rows = run(tmp_path, "port")
    assert bool(rows) == (len(stage.cpus()) > 1)
    for row in rows:
        assert 0 <= row["handedOver"][1] < 1
        assert row["datagramsPerSecond"][1] > 10


def test_storm(tmp_path: Path) -> None:
    rows = run(tmp_path, "storm")
    assert rows[0]["cores"] == 1
    for row in rows:
        assert row["joinsPerSecond"] > 50 and row["failed"] == 0
        assert 0 < row["quietP50Us"][1] <= row["quietP99Us"][1]
        assert 0 < row["stormP50Us"][1] <= row["stormP99Us"][1]


def test_idle(tmp_path: Path) -> None:
    rows = run(tmp_path, "idle")
    assert rows[0]["cores"] == 1
    for row in rows:
        assert 0 < row["startSeconds"][1] < 30
        assert row["idlePercent"][1] < 20


def test_placement(tmp_path: Path) -> None:
    rows = run(tmp_path, "placement")
    assert [(row["cores"], row["policy"]) for row in rows] == [
        (cores, policy) for cores in (16, 64) for policy in ("fill_first", "spread")
    ]


def test_hops(tmp_path: Path) -> None:
    out = tmp_path / "ring.json"
    command = [sys.executable, "-m", "benchmarks.ring", "--quick", "--json", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if len(stage.cpus()) < 2:
        pytest.skip("a reader and a writer need a CPU each")
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    rows = json.loads(out.read_text())["results"]
    costs, delays = ([row for row in rows if row["part"] == part] for part in ("cost", "delay"))
    assert {(row["reader"], row["size"]) for row in delays} == {
        (reader, size) for reader in ("running", "sleeping", "engine") for size in (200, 1200)
    }
    assert all(0 < row["ringNs"] < row["udpNs"] for row in costs)
    assert all(0 < row[f"{path}P50"] <= row[f"{path}P99"] for row in delays for path in ("ring", "udp"))
