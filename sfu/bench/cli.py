"""`sfu bench`: which scenarios, how long, and where the results go."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from itertools import product
from typing import Any

from sfu.bench import forward, report
from sfu.bench.engine import Engine, Relay
from sfu.values import argument, count, one_of, seconds, several

MAX_SIZE = 1450

QUICK = (
    forward.Scenario("lone", 1200, 100, "gcm"),
    forward.Scenario("lone", 1200, 100, "cm"),
    forward.Scenario("lone", 200, 100, "gcm"),
    forward.Scenario("burst", 1200, 100, "gcm"),
    forward.Scenario("video", 0, 100, "gcm"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--quick", action="store_true", help="five scenarios in under a minute")
    counts, sizes = several(count), several(size)
    add("--fan-out", default="1,10,100,500", type=argument(counts), help="numbers of subscribers (default %(default)s)")
    add("--size", default="200,1200", type=argument(sizes), help="bytes of RTP payload (default %(default)s)")
    patterns, suites = several(one_of(forward.PATTERNS)), several(one_of(forward.SUITES))
    all_patterns, all_suites = ",".join(forward.PATTERNS), ",".join(forward.SUITES)
    add("--pattern", default=all_patterns, type=argument(patterns), help="kinds of traffic (default %(default)s)")
    add("--suite", default=all_suites, type=argument(suites), help="what subscribers get (default %(default)s)")
    add("--rounds", type=argument(count), help="engine and floor take turns so often (default 5; quick 3)")
    add("--seconds", type=argument(length), default=1.0, help="length of a turn (default %(default)s)")
    add("--sleeping", action="store_true", help="sinks sleep for packets, and senders pay for waking them")
    add("--relay", action="store_true", help="measure a bare copying relay in place of the engine")
    add("--json", metavar="FILE", type=argument(file), help="where to write results (default: after the table)")


def scenarios(arguments: argparse.Namespace) -> list[forward.Scenario]:
    """The asked-for combinations; captured video has its own sizes, so it comes once."""
    if arguments.quick:
        return list(QUICK)
    return [
        forward.Scenario(pattern, size, fan_out, suite)
        for pattern, fan_out in product(arguments.pattern, arguments.fan_out)
        for size, suite in product([0] if pattern == "video" else arguments.size, arguments.suite)
    ]


def size(text: str) -> int:
    """Of the payload of a packet."""
    if (value := count(text)) > MAX_SIZE:
        raise ValueError(f"{value} bytes do not fit into a packet: {MAX_SIZE} at most")
    return value


def length(text: str) -> float:
    """Of a turn, in seconds."""
    if (value := seconds(text)) == 0:
        raise ValueError("a turn has some length")
    return value


def file(text: str) -> str:
    """That can be written, which is better known before measuring than afterwards."""
    try:
        open(text, "a").close()
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror}") from None
    return text


async def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures, printing a row as each scenario ends."""
    chosen = scenarios(arguments)
    progress = report.Progress(len(chosen))
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    start = Relay.start if arguments.relay else Engine.start
    print(report.header())
    rows = []
    async for result in forward.run(
        start,
        chosen,
        rounds=rounds,
        seconds=arguments.seconds,
        polling=not arguments.sleeping,
        on_start=lambda scenario: progress.show(scenario.name),
    ):
        progress.clear()
        rows.append(result.summary())
        print(report.line(rows[-1]), flush=True)
    return rows


def main(arguments: argparse.Namespace) -> int:
    rows = asyncio.run(run(arguments))
    print("\n" + report.sentence(rows))
    if warning := report.warning(rows):
        print(warning)
    report.write(arguments.json, rows)
    return 0


def script(argv: Sequence[str] | None = None) -> int:
    """The same as a program of its own, for `benchmarks/forward.py`."""
    parser = argparse.ArgumentParser(description="CPU cost of forwarding, beside its floor")
    add_arguments(parser)
    return main(parser.parse_args(argv))
