"""The ring of sfu_core/c/ring.h, tested as C: compiled here with gcc, one program a question.

    unit.c     one thread: every offset, length and border
    model.c    every interleaving and every value that C11 lets a load see; either side may die at any step
    hostile.c  a peer that writes anything anywhere between two accesses, under sanitizers
    traffic.c  two threads under the thread sanitizer, two processes, processes that are killed

Most tests have a counterpart that must fail: the header with one check or one memory order taken away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HEADER = HERE.parents[3] / "sfu_core" / "c" / "ring.h"
COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=gnu11", "-g", "-Wall", "-Wextra", "-pthread"]
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
RACES = ["-O1", "-fsanitize=thread"]
OURS = {"LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}  # of a sanitized Python around us
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "1"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in OURS}

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (gcc)")

Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a program once for each set of flags; `header` replaces the text of ring.h."""
    folder = tmp_path_factory.mktemp("ring")
    built: dict[tuple[str, ...], Path] = {}

    def compiled(source: str, *flags: str, header: str | None = None) -> Path:
        key = (source, *flags, header or "")
        if key not in built:
            place = folder / str(len(built))
            place.mkdir()
            (place / "ring.h").write_text(header or HEADER.read_text())
            command = [COMPILER, *FLAGS, *flags, f"-I{place}", f"-I{HERE}", HERE / source, "-o", place / "program"]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ENVIRONMENT)
            if "-fsanitize" in " ".join(flags) and "cannot find" in done.stderr:
                pytest.skip("the compiler came without sanitizers")
            assert done.returncode == 0, done.stderr
            built[key] = place / "program"
        return built[key]

    return compiled


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 + 3 * FUZZ_SECONDS, env=ENVIRONMENT)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer does not know this kernel's address space")
    return done


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def without(old: str, new: str) -> str:
    """The header with one thing changed."""
    text = HEADER.read_text()
    assert text.count(old) == 1, f"ring.h has changed: {old!r}"
    return text.replace(old, new)


# ---------------------------------------------------------------- one thread

UNIT = re.findall(r'\{"(\w+)", \1\}', (HERE / "unit.c").read_text())


@pytest.mark.parametrize("name", UNIT)
def test_unit(build: Build, name: str) -> None:
    good(run(build("unit.c", *SANITIZED), name))


def test_unit_tests_are_found() -> None:
    assert len(UNIT) == 12


# ---------------------------------------------------------------- all interleavings

SCENARIOS = re.findall(r'^    \{"([\w-]+)", \d+, \{', (HERE / "model.c").read_text(), re.M)
MUTANTS = {
    "tail-store-release": "stream",
    "tail-store-relaxed": "writer-dies-late",
    "tail-look-relaxed": "stream",
    "tail-check-acquire": "stream",
    "head-store-relaxed": "stream",
    "head-look-relaxed": "skip",
    "asleep-store-release": "timeout",
    "asleep-look-acquire": "batch",
    "no-bell": "stream",
    "no-second-look": "timeout-late",
    "hear-too-late": "stream",
    "silent-successor": "writer-dies",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_interleavings(build: Build, scenario: str) -> None:
    states = int(good(run(build("model.c", "-O2"), scenario)).split()[0])
    assert states > 1000


@pytest.mark.parametrize(("mutant", "scenario"), MUTANTS.items())
def test_model_finds(build: Build, mutant: str, scenario: str) -> None:
    done = run(build("model.c", "-O2"), scenario, mutant)
    assert done.returncode == 1, done.stdout
    assert re.search(r"the reader sleeps and there are records|a race for the bytes", done.stderr)


def test_scenarios_are_found() -> None:
    assert len(SCENARIOS) == 10


# ---------------------------------------------------------------- a hostile peer

CHECKS = {
    "record-past-end": ("padded > published || padded > before_end", "padded > published"),
    "record-past-tail": ("padded > published || padded > before_end", "padded > before_end"),
    "skip-for-ever": ("before_end >= r->capacity / 2 || before_end > published", "before_end > published"),
    "skip-past-tail": ("before_end >= r->capacity / 2 || before_end > published", "before_end >= r->capacity / 2"),
    "odd-position": (" || ((tail | head) & 7u) != 0", ""),
    "far-position": ("tail - head > capacity || ", ""),
    "far-tail": ("if (tail - r->position > r->capacity) break;", ""),
    "any-head": ("head - r->limit > r->position - r->limit", "false"),
    "length-twice": ("*length = size;", "*length = (uint32_t)ring_get_word(r->data + offset);"),
    "sleepless": (" || r->broken;", ";"),
}


def test_hostile_peer(build: Build) -> None:
    assert "readers stopped" in good(run(build("hostile.c", *SANITIZED), 20_000 * FUZZ_SECONDS, 1))


@pytest.mark.parametrize("check", CHECKS)
def test_hostile_peer_needs_each_check(build: Build, check: str) -> None:
    program = build("hostile.c", *SANITIZED, header=without(*CHECKS[check]))
    assert run(program, 5000, 1).returncode != 0


# ---------------------------------------------------------------- real threads and processes

ORDERS = {
    "tail-store": ("r->position, memory_order_seq_cst", "r->position, memory_order_relaxed"),
    "head-store": ("r->position, memory_order_release", "r->position, memory_order_relaxed"),
}


def test_threads_have_no_race(build: Build) -> None:
    assert "delivered 0.20000," in good(run(build("traffic.c", *RACES), "threads", 20_000, 1))


@pytest.mark.parametrize("order", ORDERS)
def test_thread_sanitizer_finds(build: Build, order: str) -> None:
    done = run(build("traffic.c", *RACES, header=without(*ORDERS[order])), "threads", 20_000, 1)
    assert "data race" in done.stderr


def test_threads_lose_nothing(build: Build) -> None:
    assert "delivered 0.50000," in good(run(build("traffic.c", "-O2"), "threads", 50_000, 2))


def test_processes_lose_nothing(build: Build) -> None:
    assert "delivered 0.50000," in good(run(build("traffic.c", "-O2"), "processes", 50_000, 3))


def test_killed_processes_have_successors(build: Build) -> None:
    good(run(build("traffic.c", "-O2"), "killed", 150, 4))
