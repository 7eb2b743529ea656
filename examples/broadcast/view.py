"""The cores and pipes of a vertical, live in the terminal: redrawn in place, or plain lines where that cannot be.

`lines` is a pure function of two looks at the cores; `watch` takes a look each second and prints.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

CLEAR, HOME, REST_OF_LINE, BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR = 12  # characters for the load of a core

COLUMNS = (
    ("core", 4),
    ("process", 8),
    ("load", BAR + 7),
    ("transports", 11),
    ("producers", 10),
    ("consumers", 10),
    ("pipes in", 9),
    ("packets/s in", 13),
    ("out", 9),
    ("piped", 8),
    ("handed", 8),
    ("dropped", 8),
)


@dataclass(frozen=True)
class Look:
    """How things are at a time (s): the cores as the manager describes them, and the audience of this program."""

    at: float
    cores: Sequence[Any]
    viewers: int = 0
    received: int = 0
    missing: int = 0


def lines(before: Look, now: Look) -> list[str]:
    """The picture of the moment; rates are since ``before``."""
    seconds = max(now.at - before.at, 1e-3)
    earlier = {core.pid: core.counters for core in before.cores}
    rows = [_row(core, earlier.get(core.pid, core.counters), seconds) for core in now.cores]
    head = "".join(name.rjust(width) for name, width in COLUMNS)
    return [head, *rows, _pipes(now.cores), *_audience(before, now, seconds)]


def _row(core: Any, earlier: dict[str, int], seconds: float) -> str:
    def rate(*names: str) -> str:
        return f"{sum(core.counters.get(name, 0) - earlier.get(name, 0) for name in names) / seconds:,.0f}"

    drops = [name for name in core.counters if name.startswith("drop.")]
    cells = (
        f"{core.index}",
        f"{core.pid}",
        f"{bar(core.load)} {core.load:4.0f}%",
        f"{core.transports}",
        f"{core.producers}",
        f"{core.consumers}",
        f"{core.pipes}",
        rate("datagramsIn"),
        rate("datagramsOut"),
        rate("linkPackets"),
        rate("handedOut"),
        rate(*drops),
    )
    return "".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def bar(percent: float) -> str:
    """The load as a bar of constant length."""
    filled = round(min(max(percent, 0), 100) / 100 * BAR * 8)
    return ("█" * (filled // 8) + EIGHTHS[filled % 8] * (filled % 8 > 0)).ljust(BAR, "·")


def _pipes(cores: Sequence[Any]) -> str:
    real = sum(core.pipes for core in cores)
    mesh = sum(core.producers for core in cores) * (len(cores) - 1)
    return f"pipes: {real}; a mesh, every producer on every core, would need {mesh}"


def _audience(before: Look, now: Look, seconds: float) -> list[str]:
    if not now.viewers:
        return []
    rate, missing = (now.received - before.received) / seconds, now.missing
    return [f"viewers of this program: {now.viewers}; they receive {rate:,.0f} packets/s, {missing} missing so far"]


async def watch(look: Callable[[], Awaitable[Look]], out: TextIO, title: str, interval: float = 1.0) -> None:
    """Shows what ``look`` gives, every ``interval`` seconds, until cancelled."""
    in_place = out.isatty()
    before = await look()
    try:
        if in_place:
            out.write(HIDE_CURSOR + CLEAR)
        while True:
            await asyncio.sleep(interval)
            now = await look()
            out.write(picture(title, lines(before, now), in_place))
            out.flush()
            before = now
    finally:
        if in_place:
            out.write(SHOW_CURSOR)
            out.flush()


def picture(title: str, text: list[str], in_place: bool) -> str:
    """All of ``text`` under a title with the time; ``in_place`` puts it over the last one."""
    first = f"{time.strftime('%H:%M:%S')}  {title}"
    if not in_place:
        return "\n".join([first, *text]) + "\n\n"
    return HOME + "".join(f"{line}{REST_OF_LINE}\n" for line in [first, "", *text]) + BELOW
