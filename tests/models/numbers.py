"""What a munger and a NACK list must do, in plain Python with unlimited memory."""

from dataclasses import dataclass, field

OK, OLD, DROPPED, NOT_SYNCED = range(4)
WINDOW = 1024


@dataclass
class Munged:
    """Numbers by definition: the start of the run, plus the distance to its first packet, less the drops before it."""

    next: int
    first: int | None = None
    highest: int = 0
    last_drop: int = 0
    drops: set[int] = field(default_factory=set)

    def sync(self, number: int) -> None:
        if self.first is not None and self.highest >= self.first:
            self.next = self._number(self.highest + 1)
        self.first, self.highest, self.last_drop, self.drops = number, number - 1, number - 1, set()

    def _number(self, number: int) -> int:
        assert self.first is not None
        return self.next + number - self.first - sum(1 for dropped in self.drops if dropped < number)

    def packet(self, number: int) -> tuple[int, int]:
        """(verdict, outgoing number if OK)"""
        if self.first is None:
            return NOT_SYNCED, 0
        if number < self.first or self.last_drop - number >= WINDOW:
            return OLD, 0
        if number in self.drops:
            return DROPPED, 0
        self.highest = max(self.highest, number)
        return OK, self._number(number)

    def drop(self, number: int) -> None:
        if self.first is not None and number > self.highest:
            self.highest = self.last_drop = number
            self.drops.add(number)


@dataclass
class Wanted:
    """Which packets are missing and how often, and when last, each was asked for."""

    highest: int = 0
    key: int = 0
    missing: dict[int, tuple[int, int]] = field(default_factory=dict)  # number: (tries, not before ns)

    def on_packet(self, number: int, is_key: bool, now_ns: int) -> bool:
        """True if all was given up."""
        self.key = max(self.key, number) if is_key else self.key
        self.missing.pop(number, None)
        if self.highest == 0 or number <= self.highest:
            self.highest = max(self.highest, number)
            return False
        gap = range(self.highest + 1, number)
        self.highest = number
        self._forget_before(number - 10000)
        if len(self.missing) + len(gap) > 1000:
            self._forget_before(self.key)
            gap = range(max(gap.start, self.key), number)
        if len(self.missing) + len(gap) > 1000:
            self.missing.clear()
            return True
        self.missing.update({n: (0, now_ns + 10_000_000) for n in gap})
        return False

    def _forget_before(self, number: int) -> None:
        self.missing = {n: entry for n, entry in self.missing.items() if n >= number}

    def due(self, now_ns: int, rtt_ns: int) -> list[int]:
        asked = []
        for number, (tries, not_before) in sorted(self.missing.items()):
            if not_before > now_ns:
                continue
            if tries == 10:
                del self.missing[number]
                continue
            asked.append(number)
            self.missing[number] = (tries + 1, now_ns + (rtt_ns or 100_000_000))
        return asked
