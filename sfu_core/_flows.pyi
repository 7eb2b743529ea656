"""The table of flows: what its maker needs, and what tests open."""

def new_table(cores: int) -> int:
    """A memfd with an empty table for so many cores; nobody can change its size any more."""

class Flows:
    """One process's view of a table; its partition `own` is empty from then on."""

    def __init__(self, memfd: int, own: int) -> None: ...
    def put(self, listener: int, ip: str, port: int, now_ns: int = 0) -> bool: ...
    def remove(self, listener: int, ip: str, port: int) -> None: ...
    def owner(self, listener: int, ip: str, port: int) -> tuple[int, int] | None:
        """(core, when it checked the address)."""
