"""What protecting a packet costs: ns of CPU time per packet, each suite and size, EVP beside libsrtp.

    python -m benchmarks.srtp [--contexts 64] [--rounds 21]

Contexts take turns, each with keys and an output of its own, as consumers do. The variants take turns as well, round
by round in one process, so that a busy neighbour hits all of them; the lowest tenth and the median of the rounds
are shown. Compare ratios within one run.
"""

import argparse
import os
import struct
import time
from statistics import median, quantiles

from sfu_core import _srtp
from sfu_core._srtp import Context

SUITES = {"GCM-128": (7, 28), "GCM-256": (8, 44), "CM-SHA1-80": (1, 30)}
SIZES = (120, 200, 1200)
LAYERS = ("evp", "libsrtp")
PACKETS_A_WINDOW = 4096


def packets(suite: str, size: int, layer: str, contexts: int) -> list[tuple[Context, bytes, bytes, int, int, bool]]:
    number, length = SUITES[suite]
    header = struct.pack("!BBHII", 0x80, 96, 1, 1, 7)
    return [
        (Context(number, os.urandom(length), True, layer=layer), header, os.urandom(size), 1, 7, False)
        for _ in range(contexts)
    ]


def window(jobs: list[tuple[Context, bytes, bytes, int, int, bool]]) -> float:
    """ns per packet."""
    rounds = max(1, PACKETS_A_WINDOW // len(jobs))
    begin = time.thread_time_ns()
    _srtp.protect_repeatedly(jobs, rounds)
    return (time.thread_time_ns() - begin) / (rounds * len(jobs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contexts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    variants = [(suite, size, layer) for suite in SUITES for size in SIZES for layer in LAYERS]
    jobs = {variant: packets(*variant, args.contexts) for variant in variants}
    times: dict[tuple[str, int, str], list[float]] = {variant: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            times[variant].append(window(jobs[variant]))
    print(f"{args.contexts} contexts, {args.rounds} rounds, ns per protect: lowest tenth / median")
    print(f"{'suite':<12}{'bytes':>6}{'evp':>16}{'libsrtp':>16}{'ratio':>8}")
    for suite in SUITES:
        for size in SIZES:
            evp, libsrtp = (times[suite, size, layer] for layer in LAYERS)
            cells = [f"{quantiles(found, n=10)[0]:.0f} / {median(found):.0f}" for found in (evp, libsrtp)]
            print(f"{suite:<12}{size:>6}{cells[0]:>16}{cells[1]:>16}{median(libsrtp) / median(evp):>8.2f}")


if __name__ == "__main__":
    main()
