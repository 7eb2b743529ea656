"""A small mutating fuzzer: seeds, mutations, a time limit, and the last input kept where a crash cannot lose it.

    python -m tests.fuzz.fuzzer fuzz_rtp --seconds 60

A harness is a module `fuzz_*.py` here with `fuzz_one(data)`, which feeds one input to a parser and raises if something
that must always hold does not, and `SEEDS`, a list of inputs to start from. The parsers see heap copies of exactly the
input's size, so that under the address sanitizer the first byte read too far ends the process; the input is then still
in the file that was named at the start.
"""

from __future__ import annotations

import argparse
import importlib
import mmap
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_INPUT = 1 << 16
INTERESTING = (
    0x00,
    0x01,
    0x02,
    0x03,
    0x04,
    0x0F,
    0x10,
    0x1F,
    0x20,
    0x7F,
    0x80,
    0x90,
    0xB0,
    0xBE,
    0xDE,
    0xF0,
    0xFE,
    0xFF,
)


class LastInput:
    """A memory-mapped file with the input that is being tried; the kernel keeps it when the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb+") as file:
            file.truncate(MAX_INPUT + 4)
            self._map = mmap.mmap(file.fileno(), 0)

    def keep(self, data: bytes) -> None:
        self._map[: len(data) + 4] = len(data).to_bytes(4, "big") + data

    @staticmethod
    def load(path: Path) -> bytes:
        raw = path.read_bytes()
        return raw[4 : 4 + int.from_bytes(raw[:4], "big")]


class Mutator:
    """Changes inputs at random; the same seed gives the same inputs."""

    def __init__(self, seeds: Sequence[bytes], rng: random.Random) -> None:
        self.seeds = list(seeds)
        self.rng = rng
        self.ways = (
            self.flip_bit, self.set_byte, self.set_word, self.add_to_word,
            self.cut, self.cut, self.remove, self.repeat, self.insert, self.splice,
        )  # fmt: skip

    def next(self) -> bytes:
        if self.rng.random() < 0.15:
            return self.rng.randbytes(self.rng.choice((8, 40, 200, 1500)))
        data = bytearray(self.rng.choice(self.seeds))
        for _ in range(self.rng.choice((1, 1, 2, 3, 5, 8))):
            data = self.rng.choice(self.ways)(data)
        return bytes(data[:MAX_INPUT])

    def span(self, data: bytearray) -> tuple[int, int]:
        start = self.rng.randrange(len(data) + 1)
        return start, min(len(data), start + self.rng.choice((1, 2, 4, 8, 32)))

    def near(self, data: bytearray) -> int:
        """A position, more often near the beginning, where headers are."""
        return self.rng.randrange(min(len(data), self.rng.choice((16, 64, MAX_INPUT))))

    def flip_bit(self, data: bytearray) -> bytearray:
        if data:
            data[self.near(data)] ^= 1 << self.rng.randrange(8)
        return data

    def set_byte(self, data: bytearray) -> bytearray:
        if data:
            data[self.near(data)] = self.rng.choice(INTERESTING)
        return data

    def set_word(self, data: bytearray) -> bytearray:
        if len(data) > 1:
            at = self.near(data[:-1])
            data[at : at + 2] = self.rng.choice((0, 1, len(data), len(data) // 4, 0x7FFF, 0xFFFF)).to_bytes(2, "big")
        return data

    def add_to_word(self, data: bytearray) -> bytearray:
        if len(data) > 1:
            at = self.near(data[:-1])
            value = int.from_bytes(data[at : at + 2], "big") + self.rng.randint(-4, 4)
            data[at : at + 2] = (value & 0xFFFF).to_bytes(2, "big")
        return data

    def cut(self, data: bytearray) -> bytearray:
        return data[: self.rng.randrange(len(data) + 1)]

    def remove(self, data: bytearray) -> bytearray:
        start, end = self.span(data)
        return data[:start] + data[end:]

    def repeat(self, data: bytearray) -> bytearray:
        start, end = self.span(data)
        return data[:end] + data[start:end] * self.rng.choice((1, 2, 40)) + data[end:]

    def insert(self, data: bytearray) -> bytearray:
        start, _ = self.span(data)
        return data[:start] + self.rng.randbytes(self.rng.choice((1, 2, 4, 16))) + data[start:]

    def splice(self, data: bytearray) -> bytearray:
        other = self.rng.choice(self.seeds)
        return data[: self.rng.randrange(len(data) + 1)] + other[self.rng.randrange(len(other) + 1) :]


def fuzz(
    fuzz_one: Callable[[bytes], None], seeds: Sequence[bytes], *, seconds: float, runs: int, seed: int, last: LastInput
) -> int:
    """Tries the seeds as they are, then mutations, until the time or the number is over. Returns the executions."""
    mutator = Mutator(seeds, random.Random(seed))
    end = time.monotonic() + seconds
    done = 0
    for data in seeds:
        last.keep(data)
        fuzz_one(data)
        done += 1
    while done < runs if runs else time.monotonic() < end:
        data = mutator.next()
        last.keep(data)
        fuzz_one(data)
        done += 1
    return done


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzzer", description="run one fuzz harness")
    parser.add_argument("harness", help="fuzz_rtp, fuzz_rtcp, ...")
    parser.add_argument("--seconds", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--runs", type=int, default=0, help="how many executions, instead of a time")
    parser.add_argument("--seed", type=int, default=None, help="of the random numbers (default: of the clock)")
    parser.add_argument("--keep", type=Path, default=None, help="where the input being tried is kept")
    parser.add_argument("--replay", type=Path, default=None, help="try only the input kept in this file")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    harness = importlib.import_module(f"tests.fuzz.{args.harness}")
    if args.replay:
        harness.fuzz_one(LastInput.load(args.replay))
        print("passed")
        return
    seed = time.time_ns() % 2**32 if args.seed is None else args.seed
    last = LastInput(args.keep or Path(tempfile.gettempdir()) / f"{args.harness}.{seed}.last")
    print(f"{args.harness}: seed {seed}, {len(harness.SEEDS)} inputs, being tried: {last.path}", flush=True)
    try:
        done = fuzz(harness.fuzz_one, harness.SEEDS, seconds=args.seconds, runs=args.runs, seed=seed, last=last)
    except Exception:
        print(f"{args.harness}: failed on {LastInput.load(last.path).hex()}", file=sys.stderr)
        raise
    last.path.unlink()
    print(f"{args.harness}: {done} executions")


if __name__ == "__main__":
    main()
