"""What a packet costs, and how long it takes, from core to core: the ring, a bare ring and UDP over loopback, in turns.

    python -m benchmarks.ring [ROUNDS] [--quick] [--json FILE]

Compiles hops.c and latency.c (which say how they measure) and prints medians over the rounds: ns of CPU time of both
sides for each record; µs on the way at the median and at the slowest hundredth. Needs gcc and two CPUs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from sfu.bench import report

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "sfu_core"
PACE = ("TICK_NS", "WAKES_PER_MS", "EMPTY_TICKS")  # how the media thread waits

Case = tuple[str, int, int]  # reader, bytes, packets together or µs between them


def run(name: str, rounds: int) -> dict[Case, dict[str, list[list[float]]]]:
    """What a program of ours prints: for each case and path a list of numbers a round."""
    pace = [f"-D{key}={value}" for key, value in engine_pace().items()]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / name
        flags = ["-std=gnu11", "-O3", "-Wall", "-pthread", f"-I{ENGINE / 'c'}", *pace]
        subprocess.run(["gcc", *flags, HERE / f"{name}.c", "-o", program], check=True)
        output = subprocess.run([program, str(rounds)], check=True, capture_output=True, text=True).stdout
    samples: defaultdict[Case, defaultdict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for line in output.splitlines():
        path, reader, size, number, *ns = line.split()
        samples[reader, int(size), int(number)][path].append([float(each) for each in ns])
    return {case: dict(paths) for case, paths in samples.items()}


def engine_pace() -> dict[str, int]:
    """The constants of the media thread's loop."""
    text = (ENGINE / "_loop.pyx").read_text()
    return {key: int(re.findall(rf"\b{key} = (\d+)", text)[0]) for key in PACE}


def costs(rounds: int) -> list[dict[str, Any]]:
    """ns of CPU time a record; `bare` only where the reader runs."""
    rows = []
    for (reader, size, burst), paths in run("hops", rounds).items():
        medians = {f"{path}Ns": median(ns for (ns,) in turns) for path, turns in paths.items()}
        rows.append({"part": "cost", "reader": reader, "size": size, "burst": burst, "rounds": rounds, **medians})
    return rows


def delays(rounds: int) -> list[dict[str, Any]]:
    """µs on the way: medians over the rounds of each round's p50 and p99; the lowest and highest p99 of all rounds."""
    rows = []
    for (reader, size, gap), paths in run("latency", rounds).items():
        row: dict[str, Any] = {"part": "delay", "reader": reader, "size": size, "gapUs": gap, "rounds": rounds}
        for path, turns in paths.items():
            half, most, _ = zip(*turns, strict=True)
            row |= {f"{path}P50": round(median(half) / 1e3, 2), f"{path}P99": round(median(most) / 1e3, 2)}
            row |= {f"{path}P99Range": [round(min(most) / 1e3, 2), round(max(most) / 1e3, 2)]}
        rows.append(row)
    return rows


def show_costs(rows: list[dict[str, Any]]) -> None:
    print(f"{'reader':>10} {'bytes':>6} {'burst':>6} {'ring':>9} {'bare ring':>9} {'UDP':>9} {'UDP : ring':>10}   ns")
    for row in rows:
        bare = f"{row['bareNs']:,.0f}" if "bareNs" in row else "-"
        ratio = row["udpNs"] / row["ringNs"]
        print(
            f"{row['reader']:>10} {row['size']:>6} {row['burst']:>6} {row['ringNs']:>9,.0f} {bare:>9}"
            f" {row['udpNs']:>9,.0f} {ratio:>10.1f}"
        )


def show_delays(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'reader':>10} {'bytes':>6} {'every':>8} {'ring p50':>9} {'p99':>8} {'UDP p50':>9} {'p99':>8}   µs")
    for row in rows:
        print(
            f"{row['reader']:>10} {row['size']:>6} {row['gapUs']:>5} µs {row['ringP50']:>9,.1f} {row['ringP99']:>8,.1f}"
            f" {row['udpP50']:>9,.1f} {row['udpP99']:>8,.1f}   p99 of the ring from {row['ringP99Range'][0]:,.1f}"
            f" to {row['ringP99Range'][1]:,.1f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", type=int, nargs="?", default=15)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    cost, delay = costs(rounds), delays(rounds)
    show_costs(cost)
    show_delays(delay)
    if arguments.json:
        report.write(arguments.json, [*cost, *delay])
    return 0


if __name__ == "__main__":
    sys.exit(main())
