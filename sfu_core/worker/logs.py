"""The log of a core process: which lines pass, and how they look on the channel.

Control thread only. A line is one character for the level, then text; error lines always pass their tags,
debug and warning lines need one of theirs enabled.
"""

from collections.abc import Callable, Iterable

from sfu_core.channel.settings import LOG_LEVELS, LOG_TAGS

Sink = Callable[[str], None]

_ORDER = tuple(reversed(LOG_LEVELS))  # none, error, warn, debug


class Logs:
    """Level and tags, changeable at run time, in front of a sink for finished lines."""

    def __init__(self, sink: Sink, level: str = "error", tags: Iterable[str] = ()) -> None:
        self._sink = sink
        self._tags: frozenset[str] = frozenset()
        self.set_level(level)
        self.set_tags(tags)

    def set_level(self, level: str) -> None:
        """One of LOG_LEVELS, else TypeError."""
        if level not in _ORDER:
            raise TypeError(f"invalid logLevel {level!r}")
        self._level = _ORDER.index(level)

    def set_tags(self, tags: Iterable[str]) -> None:
        """Replace all tags; unknown ones are ignored."""
        self._tags = frozenset(LOG_TAGS).intersection(tags)

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
