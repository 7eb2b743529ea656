"""How results are shown: a table row as each scenario ends, a closing sentence, JSON with the machine."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from sfu_core.version import VERSION

BUSY = 0.05  # share of a turn
_COLUMNS = (
    ("traffic", 12),
    ("fan-out", 8),
    ("suite", 6),
    ("in pps", 8),
    ("ns/packet", 10),
    ("packets/CPU-s", 14),
    ("floor ns", 9),
    ("x floor", 8),
    ("GSO floor", 10),
    ("x", 6),
    ("lost", 7),
)


def header() -> str:
    return "".join(title.rjust(width) for title, width in _COLUMNS)


def line(row: dict[str, Any]) -> str:
    """One row of the table from `Result.summary()`."""
    size = f"{row['size']} B" if row["size"] else "720p"
    cells = (
        f"{row['pattern']} {size}",
        row["fanOut"],
        row["suite"],
        row["packetsPerSecondIn"],
        row["engineNs"],
        f"{row['packetsPerCpuSecond']:,}",
        row["floorNs"],
        f"{row['ratio']:.2f}",
        row.get("segmentedFloorNs", ""),
        f"{row['segmentedRatio']:.2f}" if "segmentedRatio" in row else "",
        f"{row['lost']:.2%}",
    )
    return "".join(str(cell).rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))


def sentence(rows: list[dict[str, Any]]) -> str:
    """The answer in words, from the first row: an encrypted video packet to many."""
    row = rows[0]
    crypto = {"plain": "without encryption", "gcm": "AES-GCM", "cm": "AES-CM"}[row["suite"]]
    traffic = f"{row['size']} bytes" if row["size"] else "captured video"
    return (
        f"One core forwards {row['packetsPerCpuSecond']:,} packets per second here "
        f"({traffic}, {crypto}, to {row['fanOut']} subscribers): {row['engineNs'] / 1000:.2f} µs each, "
        f"{row['ratio']:.2f} x a bare sendto loop in the same run."
    )


def warning(rows: list[dict[str, Any]]) -> str | None:
    """What makes the numbers doubtful: a measured thread that waits finds packets queued, and sends them together."""
    waited = max(row["waited"] for row in rows)
    if waited < BUSY:
        return None
    return f"This machine is busy: for up to {waited:.0%} of a turn other work had the engine's CPU. Do not trust it."


def machine() -> dict[str, Any]:
    """What a number depends on beside the code."""
    return {
        "version": VERSION,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "loadAverage": os.getloadavg()[0],
    }


def _cpu_model() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()


def write(path: str | None, rows: list[dict[str, Any]], out: TextIO = sys.stdout) -> None:
    """The JSON of a run, to a file or after the table."""
    document = json.dumps({"machine": machine(), "results": rows}, indent=None if path is None else 1)
    if path is None:
        print(document, file=out)
    else:
        Path(path).write_text(document + "\n")


class Progress:
    """A line on a terminal that says what runs; nothing where the output is a file."""

    def __init__(self, total: int, out: TextIO = sys.stderr) -> None:
        self._total, self._done, self._out = total, 0, out

    def show(self, name: str) -> None:
        self._done += 1
        text = f"[{self._done}/{self._total}] {name}"
        print(f"\r{text:<60}\r" if self._out.isatty() else text, end="", file=self._out, flush=True)
        if not self._out.isatty():
            print(file=self._out, flush=True)

    def clear(self) -> None:
        if self._out.isatty():
            print("\r" + " " * 60 + "\r", end="", file=self._out, flush=True)
