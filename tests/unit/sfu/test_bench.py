"""The benchmark measures what it says: cycles of traffic, the arithmetic of rounds, and a run over the bare relay."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sfu.__main__ import main
from sfu.bench import forward, report, traffic
from sfu.bench.cpu import CpuTime
from sfu.bench.forward import Result, Sample, Scenario


@pytest.mark.parametrize("burst", [1, 8])
@pytest.mark.parametrize("rate", [50, 500, 10_000])
def test_steady_traffic_keeps_its_rate_and_size(rate: int, burst: int) -> None:
    cycle = traffic.steady(1200, rate, burst)
    assert cycle.rate == pytest.approx(rate, rel=1e-3)
    assert {len(packet) for _, _, packet in cycle.steps} == {1212}
    assert {packet[1] >> 7 for _, _, packet in cycle.steps[burst - 1 :: burst]} == {1}
    assert cycle.rtp_period == pytest.approx(cycle.period * 90_000 / 1e9, abs=1)


def test_cycle_begins_with_a_key_frame() -> None:
    for cycle in (traffic.steady(1200, 500), traffic.steady(1200, 500, 8), traffic.captured()):
        payload = cycle.steps[0][2][12:]
        extended = payload[0] & 0x80
        start = 1 + (4 if extended and payload[2] & 0x80 else 3) + 1 if extended else 1
        assert payload[0] & 0x10
        assert payload[start] & 1 == 0, cycle.kind


def test_small_packets_are_audio() -> None:
    assert traffic.steady(200, 50).kind == "audio"
    assert traffic.steady(200, 50).steps[0][2][1] == traffic.PAYLOAD_TYPE["audio"]


def test_captured_video_is_a_camera() -> None:
    cycle = traffic.captured()
    frames = {ticks for _, ticks, _ in cycle.steps}
    assert 50 < cycle.rate < 1000
    assert 2 < len(cycle.steps) / len(frames) < 10
    assert sum(packet[1] >> 7 for _, _, packet in cycle.steps) == pytest.approx(len(frames), abs=1)
    assert [at for at, _, _ in cycle.steps] == sorted(at for at, _, _ in cycle.steps)


def test_grown_packets_are_longer_or_shorter() -> None:
    cycle = traffic.steady(200, 50)
    assert {len(packet) for _, _, packet in cycle.grown(16).steps} == {228}
    assert {len(packet) for _, _, packet in cycle.grown(-4).steps} == {208}


def sample(cost: int, waited: float = 0) -> Sample:
    """A turn of 1 s that delivered 100 packets for `cost` ns each, and half as much beside the media thread."""
    return Sample(CpuTime(cost * 150, cost * 100, round(waited * 1e9)), 100, 122_800, 100, 1.0)


def test_costs_are_medians_and_ratios_pair_rounds() -> None:
    engine = [sample(cpu, waited=0.02) for cpu in (3000, 9000, 4000)]
    floor = [sample(cpu) for cpu in (2000, 6000, 2500)]
    row = Result(Scenario("lone", 1200, 100, "gcm"), 500.0, engine, floor).summary()
    assert (row["engineNs"], row["engineProcessNs"], row["floorNs"]) == (4000, 6000, 2500)
    assert row["ratio"] == 1.5
    assert row["packetsPerCpuSecond"] == 250_000
    assert (row["lost"], row["datagramBytes"]) == (0, 1228)
    assert len(report.line(row)) == len(report.header())
    assert row["waited"] == 0.02
    assert report.warning([row]) is None
    assert "busy" in str(report.warning([row, {**row, "waited": 0.3}]))


def test_rates_follow_the_fan_out() -> None:
    for fan_out in (1, 10, 100, 500):
        assert Scenario("lone", 1200, fan_out, "gcm").cycle().rate * fan_out <= forward.DELIVERED_PER_SECOND * 1.01


def test_bench_over_a_bare_relay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way with a forwarder that does nothing: all is delivered and costs about what its floor costs."""
    out = tmp_path / "bench.json"
    options = "--relay --pattern lone,burst --size 1200 --fan-out 10 --suite plain --rounds 2 --seconds 0.2"
    assert main(["bench", *options.split(), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    document = json.loads(out.read_text())
    assert len(document["results"]) == 2
    assert document["machine"]["cpus"] >= 1
    for row in document["results"]:
        assert row["datagramBytes"] == 1212
        if row["waited"] < report.BUSY:
            assert row["lost"] < 0.01
            assert 0.2 < row["ratio"] < 5
    assert "packets per second" in printed


def test_bench_over_the_engine(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = "--pattern lone,video --size 1200 --fan-out 3 --suite gcm --rounds 1 --seconds 0.2 --sleeping"
    assert main(["bench", *options.split(), "--json", str(out)]) == 0
    lone, video = json.loads(out.read_text())["results"]
    assert lone["datagramBytes"] > 1212 + 16  # the tag, and the extensions a consumer negotiated
    assert lone["engineProcessNs"] >= lone["engineNs"] > 0
    assert video["datagramBytes"] > 500
    if max(lone["waited"], video["waited"]) < report.BUSY:
        assert lone["lost"] == video["lost"] == 0


def test_signalling_benchmark(tmp_path: Path) -> None:
    """Its clients join over ICE and DTLS, so this is a call as well."""
    out = tmp_path / "signalling.json"
    script = Path(__file__).parents[3] / "benchmarks" / "signalling.py"
    subprocess.run([sys.executable, script, "--count", "4", "--json", out], check=True, timeout=120, env=environment())
    rows = json.loads(out.read_text())["results"]
    assert [row["what"] for row in rows][:1] == ["worker start"]
    assert {"WebRtcTransport", "full join (ICE and DTLS)", "consume", "getStats"} <= {row["what"] for row in rows}
    assert all(row["perSecond"] > 0 for row in rows[1:])


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip() == report.VERSION


@pytest.mark.parametrize(
    ("flag", "wrong", "complaint"),
    [
        ("--fan-out", "1,0", "no number from 1 on"),
        ("--fan-out", "", "empty"),
        ("--size", "1,many", "no number"),
        ("--size", "1500", "do not fit"),
        ("--pattern", "lone,lonely", "none of lone, burst, video"),
        ("--suite", "rot13", "none of plain, gcm, cm"),
        ("--rounds", "0", "no number from 1 on"),
        ("--seconds", "0", "some length"),
        ("--json", "/nonexistent/file", "No such file"),
    ],
)
def test_a_wrong_value_is_told_before_anything_is_measured(
    flag: str, wrong: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", flag, wrong])
    assert re.search(f"argument {flag}: .*{complaint}", capsys.readouterr().err)
