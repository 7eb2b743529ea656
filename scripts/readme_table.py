"""Writes the measured tables of README.md and of docs/ from stored runs; the rule tests see that they agree.

sfu bench --json benchmarks/results/forward.json
python -m benchmarks.signalling --json benchmarks/results/signalling.json
python -m benchmarks.cores --json benchmarks/results/cores.json
python -m benchmarks.ring --json benchmarks/results/ring.json
python -m benchmarks.remote --json benchmarks/results/remote.json
python -m benchmarks.hop --json benchmarks/results/hop.json
python scripts/readme_table.py
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
NAMES = {"plain": "plain", "gcm": "AES-GCM", "cm": "AES-CM"}
SUITES = tuple(NAMES)
TARGET = 1.6
NOTHING = "No run is stored with this version: [benchmarks](../benchmarks/README.md) has the commands.\n"
BUSY = 0.05  # share of a turn


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return document


def machine(run: dict[str, Any]) -> str:
    """What it was measured on."""
    it = run["machine"]
    return f"{it['cpus']} virtual CPUs ({it['cpu']}), Linux {it['kernel']}"


def forwarding(run: dict[str, Any]) -> str:
    """µs of CPU time for a delivered packet and its ratio to the floor; a row for each traffic and fan-out."""
    lines = [
        "| traffic | subscribers | plain | AES-GCM | AES-CM | floor: `sendto` | floor: GSO |",
        "|---|---|---|---|---|---|---|",
    ]
    for (_, _, fan_out), group in groupby(run["results"], lambda row: (row["pattern"], row["size"], row["fanOut"])):
        by_suite = {row["suite"]: row for row in group}
        one = next(iter(by_suite.values()))
        cells = [cost(by_suite[suite]) if suite in by_suite else "" for suite in SUITES]
        gso = f"{one['segmentedFloorNs'] / 1000:.2f}" if "segmentedFloorNs" in one else ""
        lines.append(f"| {traffic(one)} | {fan_out} | {' | '.join(cells)} | {one['floorNs'] / 1000:.2f} | {gso} |")
    return "\n".join(lines)


def missed(run: dict[str, Any]) -> str:
    """A sentence on what costs more than it should."""
    names: dict[str, list[str]] = {}
    for row in run["results"]:
        if row["ratio"] > TARGET:
            names.setdefault(f"*{traffic(row)}* to {row['fanOut']}", []).append(NAMES[row["suite"]])
    if not names:
        return f"The target, at most {TARGET} of the floor, is met."
    above = "; ".join(f"{what} ({', '.join(suites)})" for what, suites in names.items())
    return f"The target, at most {TARGET} of the floor, is missed by {above}."


def traffic(row: dict[str, Any]) -> str:
    return f"{row['pattern']}, {row['size']} bytes" if row["size"] else "camera, as captured"


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
    """README: one core, and a line on many."""
    if not stored("forward.json", "signalling.json"):
        return "No run is stored with this version: `make bench` tells what this machine does.\n"
    forward, signals = load("forward.json"), load("signalling.json")
    start = next(row for row in signals["results"] if row["what"] == "worker start")
    return f"""\
CPU time of the core's media thread for a packet delivered over loopback, in µs, and in brackets its ratio to the
`sendto` floor of the same run ([what that is](benchmarks/README.md)): `sfu bench --fan-out 1,100 --size 1200`
on {machine(forward)}.{busy(forward)}

{forwarding(forward)}

{missed(forward)}

Signalling (`python -m benchmarks.signalling`); a worker starts in {start["seconds"]} s and uses {start["idleCpu"]} of a
CPU while idle:

{signalling(signals)}
{many_cores()}"""


def stored(*names: str) -> bool:
    return all((RESULTS / name).exists() for name in names)


def busy(run: dict[str, Any]) -> str:
    """A warning if other work had the CPUs."""
    waited = max(row.get("waited", 0) for row in run["results"])
    if waited <= BUSY:
        return ""
    return f" Other work had the CPU for up to {waited:.0%} of a turn, so take the ratios with care."


# Many cores


def many_cores() -> str:
    """One sentence for README; the tables are in docs/vertical.md."""
    if not stored("cores.json"):
        return ""
    rows = [row for row in load("cores.json")["results"] if row["part"] == "rooms" and row["cores"] == 2]
    ratios = " and ".join(f"{row['ratio'][1]:.2f} ({row['room']})" for row in rows)
    return f"""
One room over two cores delivers {ratios} times as many packets for a second of CPU time as two
rooms that have a core each ([the tables](docs/vertical.md#measured)).
"""


def cores(run: dict[str, Any]) -> str:
    """docs/vertical.md."""
    parts: dict[str, list[Any]] = {row["part"]: [] for row in run["results"]}
    for row in run["results"]:
        parts[row["part"]].append(row)
    return f"""\
`python -m benchmarks.cores` on {machine(run)};
medians, in brackets quartiles ([how it is measured](../benchmarks/README.md)).{busy(run)}

One room over all cores beside as many rooms that have a core each: CPU time of the media threads for a delivered packet
of 1200 bytes (AES-GCM), and packets per CPU-second of the room to those of the rooms alone.

{rooms(parts["rooms"])}

{port(parts.get("port", []))}200 joins a second (ICE, DTLS) beside running traffic: delay of its packets in µs.

{storm(parts["storm"])}

Start and idle, all processes below the application:

{idle(parts["idle"])}

Placement, simulated with seed {parts["placement"][0]["seed"]}: rooms of 2 to 400 people come and go for
{parts["placement"][0]["seconds"] // 60} minutes; means of the second half.

{placement(parts["placement"])}
"""


def table(titles: str, rows: list[list[str]]) -> str:
    heads = titles.split(" | ")
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def quartiles(values: list[float], digits: int) -> str:
    low, middle, high = (f"{value:,.{digits}f}" for value in values)
    return f"{middle} ({low} … {high})"


def rooms(rows: list[dict[str, Any]]) -> str:
    return table(
        "room | cores | beside | room, µs | alone, µs | ratio | packets/CPU-s | crossing | pipes | mesh",
        [
            [
                row["room"],
                str(row["cores"]),
                f"{row['cores']} rooms {row['alone']}",
                f"{row['roomNs'][1] / 1000:.2f}",
                f"{row['aloneNs'][1] / 1000:.2f}",
                quartiles(row["ratio"], 2),
                f"{row['packetsPerCpuSecond']:,}",
                f"{row['crossing']:.1%}",
                str(row["pipes"]),
                str(row["mesh"]),
            ]
            for row in rows
        ],
    )


def port(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    shares = table(
        "room | cores | datagrams/s | handed over, percent",
        [
            [
                row["room"],
                str(row["cores"]),
                f"{row['datagramsPerSecond'][1]:,.0f}",
                quartiles([100 * share for share in row["handedOver"]], 0),
            ]
            for row in rows
        ],
    )
    return f"""\
One port for all cores: the share of what comes in that the kernel gives to another core than its owner.

{shares}

"""


def storm(rows: list[dict[str, Any]]) -> str:
    return table(
        "cores | joins/s | failed | quiet p50 | quiet p99 | p50 in the storm | p99 in the storm | added at p99",
        [
            [
                str(row["cores"]),
                str(row["joinsPerSecond"]),
                str(row["failed"]),
                *(f"{row[name][1]:,.0f}" for name in ("quietP50Us", "quietP99Us", "stormP50Us", "stormP99Us")),
                quartiles(row["addedUs"], 0),
            ]
            for row in rows
        ],
    )


def idle(rows: list[dict[str, Any]]) -> str:
    return table(
        "cores | started in s | idle, percent of a CPU for each core",
        [[str(row["cores"]), quartiles(row["startSeconds"], 2), quartiles(row["idlePercent"], 2)] for row in rows],
    )


def placement(rows: list[dict[str, Any]]) -> str:
    cells = "{cores} | {policy} | {loadMean} % | {loadHighest} % | {coresInUse} | {pastWatermark:.1%}"
    cells += " | {overloaded:.1%} | {wrong:.1%} | {pipes:,} | {mesh:,} | {onOneCore:.0%} | {furtherCores:,}"
    return table(
        "cores | policy | load | highest | in use | core time ≥ 60 % | > 100 % | misplaced | pipes | mesh"
        " | rooms on one core | further cores",
        [[cells.format(**row, wrong=row["misplaced"] / row["placed"])] for row in rows],
    )


# The ring


def ring(run: dict[str, Any]) -> str:
    """docs/ring.md."""
    costs, delays = ([row for row in run["results"] if row["part"] == part] for part in ("cost", "delay"))
    return f"""\
`python -m benchmarks.ring` on {machine(run)}, medians of {costs[0]["rounds"]}
rounds in turns. CPU time of both sides for a record, in ns:

{hop_costs(costs)}

On the way from before it is written until its last byte is read, in µs; in brackets the p99 of the best and of the
worst round. A reader "as the engine" sleeps as the media thread does: in ticks of 400 µs when packets come often.

{hop_delays(delays)}
"""


def hop_costs(rows: list[dict[str, Any]]) -> str:
    return table(
        "reader | bytes | burst | ring | bare ring | UDP loopback | ring : bare | UDP : ring",
        [
            [
                row["reader"],
                str(row["size"]),
                str(row["burst"]),
                f"{row['ringNs']:,.0f}",
                f"{row['bareNs']:,.0f}" if "bareNs" in row else "",
                f"{row['udpNs']:,.0f}",
                f"{row['ringNs'] / row['bareNs']:.2f}" if "bareNs" in row else "",
                f"{row['udpNs'] / row['ringNs']:.1f}",
            ]
            for row in rows
        ],
    )


def hop_delays(rows: list[dict[str, Any]]) -> str:
    reader = {"running": "running", "sleeping": "sleeping", "engine": "as the engine"}
    return table(
        "reader | bytes | a packet every | ring p50 | ring p99 | UDP p50 | UDP p99",
        [
            [
                reader[row["reader"]],
                str(row["size"]),
                f"{row['gapUs']} µs",
                f"{row['ringP50']:,.1f}",
                f"{row['ringP99']:,.1f} ({row['ringP99Range'][0]:,.1f} … {row['ringP99Range'][1]:,.1f})",
                f"{row['udpP50']:,.1f}",
                f"{row['udpP99']:,.1f}",
            ]
            for row in rows
        ],
    )


# Another host


def remote(run: dict[str, Any]) -> str:
    """docs/remote.md."""
    asked, made, (mended,) = (
        [row for row in run["results"] if row["part"] == part] for part in ("requests", "consumers", "reconnect")
    )
    return f"""\
`python -m benchmarks.remote` on {machine(run)}: a small
request to a core process, from the application itself and over one connection to a server on loopback, which is a
process of its own. Times are wall time, CPU is µs for a request.

{round_trips(asked)}

{consumed(made)}

After a cut of {mended["cutSeconds"]:g} s the client goes on {max(mended["seconds"]):.2f} s after the network is back
(the longest of {mended["cuts"]}).
"""


def round_trips(rows: list[dict[str, Any]]) -> str:
    cells = "{worker} | {parallel} | {perSecond:,} | {p50Us:,} | {p99Us:,} | {clientCpuUs} | {server}"
    return table(
        "worker | at once | requests/s | p50, µs | p99, µs | CPU of the client | CPU of the server",
        [[cells.format(**row, server=row.get("serverCpuUs", ""))] for row in rows],
    )


def consumed(rows: list[dict[str, Any]]) -> str:
    return table(
        "worker | consumers asked for | failed | there | a second",
        [
            [row["worker"], *(f"{row[name]:,}" for name in ("asked", "failed", "there", "perSecond"))]
            for row in rows
        ],
    )


def hop(run: dict[str, Any]) -> str:
    """docs/horizontal.md."""
    rows = run["results"]
    cells = [
        [
            f"{row['gapUs']:,} µs",
            *(f"{row[name][1]:,.0f}" for name in ("hereP50Us", "hereP99Us", "thereP50Us", "thereP99Us", "addedP50Us")),
            f"{quartiles(row['addedP99Us'], 0)[:-1]}; {row['addedP99WorstUs']:,})",
            f"{row['lost']} of {row['rounds'] * row['packets']:,}",
        ]
        for row in rows
    ]
    return f"""\
`python -m benchmarks.hop` on {machine(run)}: the same
packets ({rows[0]["size"]} bytes) to a subscriber on the publisher's host and, by `pipe_to_router`, to one elsewhere;
network name spaces joined by a veth pair. Delays in µs until the kernel has a packet for the subscriber; medians of
{rows[0]["rounds"]} turns, in brackets quartiles and the worst. *Added* compares the delays of each packet.{busy(run)}

{table("a packet every | here p50 | p99 | there p50 | p99 | added p50 | p99 | lost", cells)}
"""


DOCS = {"vertical": ("cores", cores), "ring": ("ring", ring), "remote": ("remote", remote), "horizontal": ("hop", hop)}
PAGES = ("README.md", *(f"docs/{name}.md" for name in DOCS))


def updated(page: str, text: str) -> str:
    """A page with the tables of the stored runs."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(page)}{END}{after}"


def tables(page: str) -> str:
    if page == "README.md":
        return measured()
    name, text = DOCS[Path(page).stem]
    return text(load(f"{name}.json")) if stored(f"{name}.json") else NOTHING


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / name).write_text(updated(name, (ROOT / name).read_text()))
