"""All that is measured of many cores.

python -m benchmarks.cores [--quick] [--only rooms,port,storm,idle,placement] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks.cores import idle, placement, port, rooms, storm
from sfu.bench import report
from vertical.leases import VARIABLE

PARTS: dict[str, ModuleType] = {"rooms": rooms, "port": port, "storm": storm, "idle": idle, "placement": placement}


async def run(parts: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """Measures, printing a line as each row is there."""
    rows: list[dict[str, Any]] = []
    for name in parts:
        part = PARTS[name]
        print(f"{name}: {(part.__doc__ or '').partition(chr(10))[0]}\n{part.HEADER}")
        async for row in part.measure(quick):
            rows.append(row)
            print(part.line(row), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="does it work; the numbers are no more than a hint")
    parser.add_argument("--only", default=",".join(PARTS), help="parts (default: all, %(default)s)")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    os.environ.setdefault(VARIABLE, "off")  # nobody else shall take cores away from what is measured
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = asyncio.run(run(arguments.only.split(","), arguments.quick))
    if arguments.json:
        report.write(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
