"""What it costs to hand a packet to another core: the ring, a bare ring and UDP over loopback, in turns.

    python benchmarks/ring/hops.py [ROUNDS]

Compiles hops.c (which says how it measures) and prints the median over the rounds, in ns of CPU time of both sides
for each record. Needs gcc and two CPUs.
"""

import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
HEADERS = HERE.parents[1] / "sfu_core" / "c"

Case = tuple[str, int, int]  # reader, size, burst


def run(rounds: int) -> dict[Case, dict[str, float]]:
    samples: defaultdict[Case, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "hops"
        flags = ["-std=gnu11", "-O3", "-pthread", f"-I{HEADERS}"]
        subprocess.run(["gcc", *flags, HERE / "hops.c", "-o", program], check=True)
        lines = subprocess.run([program, str(rounds)], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        path, reader, size, burst, ns = line.split()
        samples[reader, int(size), int(burst)][path].append(float(ns))
    return {case: {path: median(values) for path, values in paths.items()} for case, paths in samples.items()}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{'reader':>10} {'bytes':>6} {'burst':>6} {'ring':>9} {'bare ring':>9} {'UDP':>9} {'UDP : ring':>10}")
    for (reader, size, burst), ns in run(rounds).items():
        bare = f"{ns['bare']:,.0f}" if "bare" in ns else "-"
        ratio = ns["udp"] / ns["ring"]
        print(f"{reader:>10} {size:>6} {burst:>6} {ns['ring']:>9,.0f} {bare:>9} {ns['udp']:>9,.0f} {ratio:>10.1f}")


if __name__ == "__main__":
    main()
