"""The table of flows as plain dictionaries: one for each core, and room without end."""


class FlowModel:
    def __init__(self, cores: int) -> None:
        self.cores: list[dict[tuple[int, str, int], int]] = [{} for _ in range(cores)]

    def put(self, core: int, key: tuple[int, str, int], now_ns: int) -> None:
        self.cores[core][key] = now_ns

    def remove(self, core: int, key: tuple[int, str, int]) -> None:
        self.cores[core].pop(key, None)

    def owners(self, asking: int, key: tuple[int, str, int]) -> list[tuple[int, int]]:
        """The others that have it and checked it last."""
        found = [(core, known[key]) for core, known in enumerate(self.cores) if core != asking and key in known]
        latest = max((now_ns for _, now_ns in found), default=0)
        return [each for each in found if each[1] == latest]
