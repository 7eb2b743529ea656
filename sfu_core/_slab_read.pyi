"""What another process reads of a core's slab, while the core lives or after it was killed.

For whoever holds the descriptor: one thread at a time, nothing blocks, nothing is written. Every number is checked
before it is used, so that a foreign, damaged or hostile slab gives a ValueError or torn objects, never a crash.
"""

from typing import Any, Literal, NamedTuple

State = Literal["live", "building", "closing", "torn"]

class SlabObject(NamedTuple):
    """A record that is in use.

    `state`: live and whole; building (its creation was not finished); closing (its end was not finished); or torn: it
    was being changed, contradicts itself, or belongs to one that does. Only what is live may be carried on, and
    `fields` is empty unless it is. `why` says what is wrong with the others.
    """

    table: str
    slot: int
    generation: int
    state: State
    why: str
    fields: dict[str, Any]

TABLES: tuple[str, ...]
"""Names of the tables in the order in which they are read: what a record belongs to comes before it."""

class SlabReader:
    """A core's slab by its descriptor, which it takes over (also if it refuses it)."""

    def __init__(self, fd: int) -> None:
        """ValueError: not a slab of this build (size, magic, version, layout)."""

    @property
    def ticks(self) -> int:
        """Turns that the media thread has made; at least two a second while it runs."""

    def objects(self) -> list[SlabObject]:
        """All records in use, table by table (`TABLES`). Consistent if the core has ended."""

    def close(self) -> None:
        """Gives the descriptor back. May be repeated; afterwards everything else raises ValueError."""
