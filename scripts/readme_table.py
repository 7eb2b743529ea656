"""Writes the measured tables of README.md from stored runs; the rule tests see that they agree.

sfu bench --json benchmarks/results/forward.json
python -m benchmarks.signalling --json benchmarks/results/signalling.json
python scripts/readme_table.py
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
SUITES = ("plain", "gcm", "cm")


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return document


def forwarding(run: dict[str, Any]) -> str:
    """µs of CPU time for a delivered packet and its ratio to the floor; a row for each traffic and fan-out."""
    lines = [
        "| traffic | subscribers | plain | AES-GCM | AES-CM | floor: `sendto` | floor: GSO |",
        "|---|---|---|---|---|---|---|",
    ]
    for (pattern, size, fan_out), group in groupby(
        run["results"], lambda row: (row["pattern"], row["size"], row["fanOut"])
    ):
        by_suite = {row["suite"]: row for row in group}
        one = next(iter(by_suite.values()))
        cells = [cost(by_suite[suite]) if suite in by_suite else "" for suite in SUITES]
        gso = f"{one['segmentedFloorNs'] / 1000:.2f}" if "segmentedFloorNs" in one else ""
        traffic = f"{pattern}, {size} bytes" if size else "camera, as captured"
        lines.append(f"| {traffic} | {fan_out} | {' | '.join(cells)} | {one['floorNs'] / 1000:.2f} | {gso} |")
    return "\n".join(lines)


def cost(row: dict[str, Any]) -> str:
    return f"{row['engineNs'] / 1000:.2f} ({row['ratio']:.2f})"


def signalling(run: dict[str, Any]) -> str:
    """One line for each kind of object."""
    lines = ["| what | at once | per second | CPU of the core process | memory |", "|---|---|---|---|---|"]
    for row in run["results"]:
        if "perSecond" in row:
            memory = f"{row['bytesEach'] / 1000:.1f} kB" if "bytesEach" in row else ""
            cells = (row["what"], row["parallel"], f"{row['perSecond']:,}", f"{row['cpuUs']} µs", memory)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def measured() -> str:
    """Everything between the markers."""
    if not all((RESULTS / name).exists() for name in ("forward.json", "signalling.json")):
        return "No run is stored with this version: `make bench` tells what this machine does.\n"
    forward, signals = load("forward.json"), load("signalling.json")
    machine = forward["machine"]
    start = next(row for row in signals["results"] if row["what"] == "worker start")
    waited = max(row["waited"] for row in forward["results"])
    busy = (
        f" Other work had the CPU for up to {waited:.0%} of a turn, so take the ratios with care."
        if waited > 0.05
        else ""
    )
    return f"""\
CPU time of the core's media thread for a packet delivered over loopback, in µs, and in brackets its ratio to the
`sendto` floor of the same run ([what that is](benchmarks/README.md)): `sfu bench --fan-out 1,100 --size 1200`
on {machine["cpus"]} virtual CPUs ({machine["cpu"]}), Linux {machine["kernel"]}.{busy}

{forwarding(forward)}

Signalling (`python -m benchmarks.signalling`); a worker starts in {start["seconds"]} s and uses {start["idleCpu"]} of a
CPU while idle:

{signalling(signals)}
"""


def updated(text: str) -> str:
    """README with the tables of the stored runs."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{measured()}{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
