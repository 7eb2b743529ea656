"""The log of a core process: which lines pass, and how they look on the channel.

Control thread only. A line is one character for the level, then text; error lines always pass their tags,
debug and warning lines need one of theirs enabled.
"""

from collections.abc import Callable, Iterable

LEVELS = ("none", "error", "warn", "debug")
TAGS = frozenset(
    {
        "info", "ice", "dtls", "rtp", "srtp", "rtcp", "rtx", "bwe", "score", "simulcast", "svc", "sctp",
        "message",
    }
)  # fmt: skip


class Logs:
    """Level and tags, changeable at run time, in front of a sink for finished lines."""

    def __init__(self, level: str = "error", tags: Iterable[str] = (), sink: Callable[[str], None] = print):
        self._sink = sink
        self._tags: frozenset[str] = frozenset()
        self.set_level(level)
        self.set_tags(tags)

    def set_level(self, level: str) -> None:
        """One of LEVELS, else TypeError."""
        if level not in LEVELS:
            raise TypeError(f"invalid logLevel {level!r}")
        self._level = LEVELS.index(level)

    def set_tags(self, tags: Iterable[str]) -> None:
        """Replace all tags; unknown ones are ignored."""
        self._tags = TAGS.intersection(tags)

    def error(self, text: str) -> None:
        """Something is wrong in this process."""
        if self._level >= 1:
            self._sink(f"E{text}")

    def warn(self, tag: str, text: str) -> None:
        """A peer or an application does something odd."""
        if self._level >= 2 and tag in self._tags:
            self._sink(f"W{text}")

    def debug(self, tag: str, text: str) -> None:
        """What happens, for those who look for it."""
        if self._level >= 3 and tag in self._tags:
            self._sink(f"D{text}")
